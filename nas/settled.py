"""A search space whose architecture is decided, so that its compression alone is left to search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Set
from typing import Any

from torch import nn

from nas.arch import Arch
from nas.decision import Candidate, Choice, Decision, Genotype
from nas.errors import GenotypeError, SpaceError
from nas.space import SearchSpace, check_genotype, decisions_of, name_of


class Settled:
    """The space ``base`` with every choice made: the supernet is that one network.

    Its decisions are those that the choices take, each with nothing but what is chosen, so that
    genotypes are those of ``base``.

    Args:
        base: any search space.
        choices: a genotype of it.

    Raises:
        GenotypeError: for choices that are no genotype of ``base``.
        SpaceError: for a decision of several groups.
    """

    def __init__(self, base: SearchSpace, choices: Genotype) -> None:
        self.base, self.name = base, name_of(base)
        self.choices = check_genotype(base, choices)
        known = decisions_of(base)
        self.decisions = {name: _narrowed(known[name], c) for name, c in self.choices.items()}

    def __getattr__(self, name: str) -> Any:
        if name in ("base", "choices", "decisions"):
            raise AttributeError(name)
        return getattr(self.base, name)

    @property
    def whole(self) -> SearchSpace:
        """The space that its genotypes belong to."""
        return self.base

    def supernet(self) -> nn.Module:
        """The network of the choices."""
        return self.base.network(self.choices)

    def blueprint(self) -> nn.Module:
        """The network of the choices."""
        return self.base.network(self.choices)

    def network(self, genotype: Genotype) -> nn.Module:
        """That of ``base``."""
        return self.base.network(genotype)

    def discretize(self, arch: Arch) -> dict[str, Choice]:
        """The choices, whatever the weights are."""
        return dict(self.choices)

    def active(self, choices: Genotype) -> Set[str]:
        """All that was chosen."""
        return set(self.choices)

    def size(self) -> int:
        """One genotype."""
        return 1

    def weighted_size(self, count: Callable[[str, Candidate], int]) -> int:
        """One genotype, as often as ``count`` says of its candidates."""
        return math.prod(
            count(name, candidate)
            for name, decision in self.decisions.items()
            for candidate in decision.candidates
        )


def choices_of(text: str) -> dict[str, Choice]:
    """The choices that a setting holds as JSON; raises GenotypeError for any other text."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise GenotypeError(
            f"architecture={text[:40]!r} is no genotype's choices in JSON; name a run or a file"
        ) from error
    if not isinstance(found, dict):
        raise GenotypeError(f"architecture={text[:40]!r} holds no choices by decision")
    return {name: tuple(c) if isinstance(c, list) else c for name, c in found.items()}


def _narrowed(decision: Decision, choice: Choice) -> Decision:
    if decision.groups > 1:
        raise SpaceError(
            f"decision {decision.name!r} has {decision.groups} groups, which cannot be kept as "
            "they are; leave architecture= out"
        )
    kept = choice if isinstance(choice, tuple) else (choice,)
    return Decision(decision.name, kept, decision.kind, decision.pick, soft=decision.soft)
