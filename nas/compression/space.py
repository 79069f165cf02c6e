"""A search space with compression as a further dimension."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence, Set
from functools import cached_property
from itertools import combinations
from typing import Any, cast

import torch
from torch import nn

from nas.arch import Arch, from_genotype
from nas.compression.base import Rules
from nas.compression.owner import Owner
from nas.dataspec import DataSpec
from nas.decision import Candidate, Choice, Decision, Genotype, collect
from nas.errors import SpaceError
from nas.searchable.scope import scopes
from nas.space import (
    SearchSpace,
    active,
    blueprint,
    decisions_of,
    discretize,
    heaviest,
    name_of,
)
from nas.supernet import Supernet, frozen

Choosing = tuple[str, Candidate]
_OF_GENOTYPES = ("format", "view", "graph", "to_cells")  # methods of a space that take one


class Compressed:
    """The space ``base`` whose networks are compressed: decisions of both in one genotype.

    Args:
        base: any search space; modules of its derived networks carry scopes (``nas.searchable``).
        compression: what is decided on.
    """

    def __init__(self, base: SearchSpace, compression: Rules) -> None:
        self.base, self.compression = base, compression
        self.name = name_of(base)

    def __getattr__(self, name: str) -> Any:
        if name in ("base", "compression"):
            raise AttributeError(name)
        found = getattr(self.base, name)
        return self._of_architecture(found) if name in _OF_GENOTYPES else found

    @cached_property
    def decisions(self) -> dict[str, Decision]:
        """Those of the base, then those of compression."""
        own = {name: decision for name, (decision, _) in self._own.items()}
        return {**decisions_of(self.base), **own}

    @property
    def whole(self) -> Compressed:
        """This, around the whole of a base of which some choices are made already."""
        base = getattr(self.base, "whole", None)
        return self if base is None else Compressed(base, self.compression)

    def supernet(self) -> nn.Module:
        """The base's supernet, compressed."""
        return self.compress(self.base.supernet())

    def compress(self, net: nn.Module) -> nn.Module:
        """A supernet of the base with this compression, in place.

        Raises SpaceError where its parts do not have the names that those of the networks have.
        """
        net = self.compression.apply(net, self._input_shape)
        unknown = {name for name, _, _ in _decided(net)} - set(self.decisions)
        if unknown:
            raise SpaceError(
                f"space {self.name!r}: {min(unknown)} is in the supernet and in no network; mark "
                "the part as nas.searchable.scoped(module, name), alike in both"
            )
        return net

    def blueprint(self) -> nn.Module:
        """The base's blueprint, compressed."""
        apply = getattr(self.compression, "blueprint", self.compression.apply)
        return cast(nn.Module, apply(blueprint(self.base), self._input_shape))

    def network(self, genotype: Genotype) -> nn.Module:
        """The base's network with the chosen compression, freshly initialized.

        Raises SpaceError where its parts do not say which choices they belong to.
        """
        net = self.base.network(self._architecture(genotype))
        net = self.compression.apply(net, self._input_shape)
        found = collect(decision for _, decision, _ in _decided(net))
        chosen = {name: choice for name, choice in genotype.items() if name in self._own}
        if set(found) != set(chosen):
            name = min(set(found) ^ set(chosen))
            raise SpaceError(
                f"space {self.name!r}: {name} is {'not ' if name in found else ''}in the genotype "
                f"and {'' if name in found else 'not '}in its network; the modules of network() "
                "must be marked by nas.searchable.candidate(module, decision, candidate)"
            )
        Supernet(net).bind(from_genotype(found, chosen))
        return self.settled(frozen(net))

    def settled(self, net: nn.Module) -> nn.Module:
        """A frozen supernet or network with what its gates drop really gone; it may be changed."""
        return self.compression.settle(net, self._input_shape)

    def discretize(self, arch: Arch) -> dict[str, Choice]:
        """The base's own derivation, and for each part that it keeps the heaviest candidate."""
        choices = discretize(self.base, {n: w for n, w in arch.items() if n not in self._own})
        own = heaviest({name: decision for name, (decision, _) in self._own.items()}, arch)
        names = self.active(choices)
        return {**choices, **{name: choice for name, choice in own.items() if name in names}}

    def active(self, choices: Genotype) -> Set[str]:
        """What the base takes, and the compression of the parts that its choices keep."""
        kept = set(active(self.base, self._architecture(choices)))
        return kept | {
            name
            for name, (_, owner) in self._own.items()
            if owner is None or (owner[0] in kept and choices.get(owner[0]) == owner[1])
        }

    def size(self) -> int:
        """The number of genotypes: a candidate counts as often as its parts can be compressed."""
        ways: Counter[Choosing | None] = Counter()
        for decision, owner in self._own.values():
            ways[owner] = max(ways[owner], 1) * len(decision) ** decision.groups

        def count(decision: str, candidate: Candidate) -> int:
            return max(ways[decision, candidate], 1)

        return max(ways[None], 1) * _weighted_size(self.base, count)

    @property
    def _input_shape(self) -> Sequence[int] | None:
        data = getattr(self.base, "data", None)
        return data.input_shape if isinstance(data, DataSpec) else None

    @cached_property
    def _own(self) -> dict[str, tuple[Decision, Choosing | None]]:
        """The decisions of compression, each with the choice without which it is not there."""
        with torch.device("meta"):
            net = self.blueprint()
        found: dict[str, tuple[Decision, Choosing | None]] = {}
        for name, decision, owner in _decided(net):
            if self._possible(owner):
                found[name] = decision, owner
        return found

    def _possible(self, owner: Choosing | None) -> bool:
        """Whether a genotype can hold the choice (not ``none``, which a supernet alone has)."""
        return owner is None or owner[1] in decisions_of(self.base)[owner[0]].candidates

    def _architecture(self, genotype: Genotype) -> dict[str, Choice]:
        return {name: choice for name, choice in genotype.items() if name not in self._own}

    def _of_architecture(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda genotype: method(self._architecture(genotype))


def _decided(net: nn.Module) -> list[tuple[str, Decision, Choosing | None]]:
    """Name, decision and owner of every slot of a compressed layer."""
    return [
        (decision.name, decision, scope.owner)
        for _, part, scope in scopes(net)
        if isinstance(part, Owner)
        for decision in part.owned
    ]


def _weighted_size(space: SearchSpace, count: Callable[[str, Candidate], int]) -> int:
    """The number of genotypes where each counts as often as its candidates, multiplied."""
    own = getattr(space, "weighted_size", None)
    if own is not None:
        return int(own(count))
    if getattr(space, "active", None) is not None:
        raise SpaceError(
            f"space {name_of(space)!r} has inactive decisions and must define weighted_size(count)"
        )
    return math.prod(
        sum(
            math.prod(count(name, candidate) for candidate in kept)
            for kept in combinations(decision.candidates, decision.pick)
        )
        ** decision.groups
        for name, decision in decisions_of(space).items()
    )
