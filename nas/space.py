"""The contract of a search space, and what follows from its decisions alone.

A space is any object with ``supernet()`` and ``network(genotype)``. Everything else has a default
here, which a space overrides by defining a method of the same name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Set
from itertools import combinations, product
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import nn

from nas.arch import Arch, Weights
from nas.decision import Choice, Decision, Genotype, collect, validate
from nas.errors import GenotypeError, SpaceError
from nas.supernet import Slot


@runtime_checkable
class SearchSpace(Protocol):
    """What a search uses once (``supernet``), and what is used ever after it (``network``)."""

    def supernet(self) -> nn.Module:
        """A network whose slots read the decisions of this space."""
        ...

    def network(self, genotype: Genotype) -> nn.Module:
        """The network of one genotype, freshly initialized; nothing of the search is left in it."""
        ...


def name_of(space: SearchSpace) -> str:
    """The space's ``name``, or its class name in lower case."""
    return str(getattr(space, "name", type(space).__name__.lower()))


def decisions_of(space: SearchSpace) -> dict[str, Decision]:
    """The genotype's schema: ``space.decisions`` if there, else the decisions of its slots."""
    own = getattr(space, "decisions", None)
    if own is not None:
        return dict(own)
    with torch.device("meta"):
        net = space.supernet()
    found = collect(module.decision for module in net.modules() if isinstance(module, Slot))
    if not found:
        raise SpaceError(f"space {name_of(space)!r} has no decision: its supernet holds no Slot")
    return found


def blueprint(space: SearchSpace) -> nn.Module:
    """The searchable form of ``network()``: same macro and operations, every choice open.

    Costs are counted on it, on the meta device; it is never trained. Default: ``supernet()``.
    """
    build = getattr(space, "blueprint", space.supernet)
    with torch.device("meta"):
        return cast(nn.Module, build())


def discretize(space: SearchSpace, arch: Arch) -> dict[str, Choice]:
    """The genotype nearest to ``arch``; default: the ``pick`` largest weights of each decision."""
    own = getattr(space, "discretize", None)
    if own is not None:
        return dict(own(arch))
    return only_active(space, heaviest(decisions_of(space), arch))


def heaviest(decisions: Mapping[str, Decision], arch: Arch) -> dict[str, Choice]:
    """The ``pick`` largest weights of each decision that ``arch`` holds.

    Raises GenotypeError for a decision that is deferred.
    """
    choices: dict[str, Choice] = {}
    for name, decision in decisions.items():
        weights = arch.get(name)
        if weights is None:
            continue
        if not isinstance(weights, Weights):
            raise GenotypeError(
                f"decision {name!r} is deferred; discretize what the supernet realised"
            )
        chosen = weights.values.topk(decision.pick, dim=-1).indices.tolist()
        choices[name] = decision.choice(chosen)
    return choices


def active(space: SearchSpace, choices: Genotype) -> Set[str]:
    """Names that a genotype with these choices takes: all, unless the space says otherwise."""
    own = getattr(space, "active", None)
    return set(own(choices)) if own is not None else set(decisions_of(space))


def only_active(space: SearchSpace, choices: Genotype) -> dict[str, Choice]:
    """The choices without those of inactive decisions (the operations of dropped edges)."""
    if getattr(space, "active", None) is None:
        return dict(choices)
    names = active(space, choices)
    return {name: choice for name, choice in choices.items() if name in names}


def check_genotype(space: SearchSpace, genotype: Genotype) -> dict[str, Choice]:
    """The genotype in canonical form.

    Raises GenotypeError for an unknown decision or candidate, a missing choice, or a choice for a
    decision that is inactive.
    """
    checked = validate(decisions_of(space), genotype)
    names = active(space, checked)
    missing, extra = sorted(names - set(checked)), sorted(set(checked) - names)
    if missing:
        raise GenotypeError(
            f"the genotype lacks {len(missing)} decision(s) of space {name_of(space)!r}: "
            f"{', '.join(missing[:4])}"
        )
    if extra:
        raise GenotypeError(
            f"the genotype holds choices of decisions that its other choices make inactive: "
            f"{', '.join(extra[:4])}; leave them out"
        )
    return checked


def settled_choices(space: SearchSpace) -> dict[str, Choice]:
    """The choices of decisions that have as many candidates as are kept: nothing is asked there."""
    return {
        name: decision.choice([range(decision.pick)] * decision.groups)
        for name, decision in decisions_of(space).items()
        if len(decision) == decision.pick
    }


def sample(space: SearchSpace, generator: torch.Generator) -> dict[str, Choice]:
    """A genotype drawn uniformly, decision by decision."""
    choices: dict[str, Choice] = {}
    for name, decision in decisions_of(space).items():
        rows = [
            torch.randperm(len(decision), generator=generator)[: decision.pick].tolist()
            for _ in range(decision.groups)
        ]
        choices[name] = decision.choice(rows)
    return only_active(space, choices)


def size(space: SearchSpace) -> int:
    """The number of genotypes; a space with inactive decisions must give its own ``size``."""
    own = getattr(space, "size", None)
    if own is not None:
        return int(own())
    if getattr(space, "active", None) is not None:
        raise SpaceError(f"space {name_of(space)!r} has inactive decisions and must define size()")
    return math.prod(math.comb(len(d), d.pick) ** d.groups for d in decisions_of(space).values())


def enumerate_genotypes(space: SearchSpace, limit: int = 100_000) -> list[dict[str, Choice]]:
    """Every genotype of a small space; raises SpaceError above ``limit`` combinations."""
    decisions = decisions_of(space)
    rows: list[list[Choice]] = []
    total = 1
    for decision in decisions.values():
        # counted before it is listed: many groups would fill the memory
        total *= math.comb(len(decision), decision.pick) ** decision.groups
        if total > limit:
            raise SpaceError(
                f"space {name_of(space)!r} is too large to enumerate: over {limit} genotypes"
            )
        singles = list(combinations(range(len(decision)), decision.pick))
        rows.append([decision.choice(c) for c in product(singles, repeat=decision.groups)])
    seen: dict[str, dict[str, Choice]] = {}
    for combination in product(*rows):
        kept = only_active(space, dict(zip(decisions, combination, strict=True)))
        seen[json.dumps(kept, sort_keys=True)] = kept
    return list(seen.values())


def fingerprint(space: SearchSpace) -> str:
    """Twelve hex digits over the space's name and decisions: what a genotype file must match.

    Where some choices are made already, it is that of the ``whole`` space.
    """
    space = getattr(space, "whole", space)
    record: Mapping[str, Any] = {
        "name": name_of(space),
        "decisions": [decision.to_json() for decision in decisions_of(space).values()],
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
