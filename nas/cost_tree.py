"""The expected cost of a network with open choices, as a tree evaluated bottom-up.

Each searchable module gives its node; a sum merges nodes of the same decision, so that the tree of
a network with many equal cells is as small as one cell's. Values are exact on one-hot weights and
expectations over independent decisions otherwise; a decision met again below itself is conditioned
on, never multiplied in as if it were another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from nas.arch import Arch, Weights, inclusion, set_probability

Key = tuple[str, str]
Chosen = Mapping[str, Sequence[int]]
"""The indices of the candidates that a genotype keeps, by decision; without inactive ones.

Of a decision in groups one index for each group.
"""


class CostNode(Protocol):
    """A part of the tree: what it costs, and which decisions that depends on."""

    @property
    def key(self) -> Key:
        """Kind and decision: nodes of equal keys can be merged."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The decisions that the cost depends on."""
        ...

    def expect(self, arch: Arch) -> Tensor:
        """The expected cost under ``arch``; scalar, float64, differentiable."""
        ...

    def exact(self, chosen: Chosen) -> float:
        """The cost of one genotype: what ``expect`` gives for its one-hot weights."""
        ...

    def plus(self, other: CostNode) -> CostNode:
        """This node and another one with an equal key, as one node."""
        ...


@runtime_checkable
class Costed(Protocol):
    """A module that says how its parts' costs combine."""

    def cost(self, visit: Callable[[nn.Module], CostNode]) -> CostNode:
        """The node of this module; ``visit`` gives the node of a part."""
        ...


def _weights(arch: Arch, name: str) -> Weights | None:
    given = arch.get(name)
    if given is None or isinstance(given, Weights):
        return given
    raise TypeError(f"decision {name!r} is deferred: costs read what the supernet realised")


@dataclass(frozen=True)
class Leaf:
    """A fixed cost."""

    value: float
    key: Key = ("leaf", "")
    names: frozenset[str] = frozenset()

    def expect(self, arch: Arch) -> Tensor:
        """The value, whatever ``arch``; float64."""
        return torch.tensor(self.value, dtype=torch.float64)

    def exact(self, chosen: Chosen) -> float:
        """The value."""
        return self.value

    def plus(self, other: CostNode) -> CostNode:
        """One leaf of both values."""
        assert isinstance(other, Leaf)
        return Leaf(self.value + other.value)


@dataclass(frozen=True)
class Sum:
    """The sum of its parts, which have different keys."""

    parts: tuple[CostNode, ...]

    @property
    def key(self) -> Key:
        """Equal where the parts' keys are equal, in order."""
        return ("sum", "|".join(f"{kind}:{name}" for kind, name in (p.key for p in self.parts)))

    @property
    def names(self) -> frozenset[str]:
        """The decisions of all parts."""
        return frozenset[str]().union(*(part.names for part in self.parts))

    def expect(self, arch: Arch) -> Tensor:
        """The sum of the parts' expectations; float64."""
        values = [part.expect(arch) for part in self.parts]
        device = next((v.device for v in values if v.device.type != "cpu"), values[0].device)
        return torch.stack([value.to(device) for value in values]).sum()

    def exact(self, chosen: Chosen) -> float:
        """The sum of the parts' costs."""
        return sum(part.exact(chosen) for part in self.parts)

    def plus(self, other: CostNode) -> CostNode:
        """The sum of all parts, equal keys merged."""
        assert isinstance(other, Sum)
        return add([*self.parts, *other.parts])


def add(nodes: Sequence[CostNode]) -> CostNode:
    """The sum of nodes in its smallest form: nested sums flattened, equal keys merged."""
    merged: dict[Key, CostNode] = {}
    flat = [part for node in nodes for part in (node.parts if isinstance(node, Sum) else (node,))]
    for node in flat:
        merged[node.key] = merged[node.key].plus(node) if node.key in merged else node
    kept = [n for n in merged.values() if not (isinstance(n, Leaf) and n.value == 0)]
    if len(kept) == 1:
        return kept[0]
    return Sum(tuple(kept)) if kept else Leaf(0.0)


@dataclass(frozen=True)
class Alternatives:
    """``sum_i p_i E[cost_i | candidate i]``; 0 where the decision was not executed."""

    name: str
    parts: tuple[CostNode, ...]

    @property
    def key(self) -> Key:
        """Merges with alternatives of the same decision."""
        return ("alternatives", self.name)

    @property
    def names(self) -> frozenset[str]:
        """The decision and those of all parts."""
        return frozenset({self.name}).union(*(part.names for part in self.parts))

    def expect(self, arch: Arch) -> Tensor:
        """The expectation over the candidates; float64."""
        weights = _weights(arch, self.name)
        if weights is None:
            return torch.zeros((), dtype=torch.float64)
        row = weights.row.double()
        if all(isinstance(part, Leaf) for part in self.parts):
            costs = [part.value for part in self.parts if isinstance(part, Leaf)]
            return row @ torch.tensor(costs, dtype=torch.float64, device=row.device)
        terms = [row[i] * self._given(i, arch, weights).to(row.device) for i in weights.live]
        return torch.stack(terms).sum()

    def exact(self, chosen: Chosen) -> float:
        """The cost of the candidate that is kept; 0 where the decision is inactive."""
        return sum(self.parts[i].exact(chosen) for i in chosen.get(self.name, ()))

    def _given(self, i: int, arch: Arch, weights: Weights) -> Tensor:
        part = self.parts[i]
        if self.name in part.names:  # the same decision again: it is known to be i down there
            certain = torch.zeros_like(weights.values)
            certain[:, i] = 1.0
            arch = {**arch, self.name: Weights(certain, (i,))}
        return part.expect(arch)

    def plus(self, other: CostNode) -> CostNode:
        """Both, candidate by candidate."""
        assert isinstance(other, Alternatives)
        pairs = zip(self.parts, other.parts, strict=True)
        return Alternatives(self.name, tuple(add(pair) for pair in pairs))


@dataclass(frozen=True)
class Inclusion:
    """``sum_i incl_i E[cost_i]`` with the probability that input ``i`` is among the ``pick`` kept.

    Without weights for the decision (no edge weights in the search) every input is equally likely.
    """

    name: str
    pick: int
    parts: tuple[CostNode, ...]

    @property
    def key(self) -> Key:
        """Merges with inputs of the same decision."""
        return ("inclusion", self.name)

    @property
    def names(self) -> frozenset[str]:
        """The decision and those of all parts."""
        return frozenset({self.name}).union(*(part.names for part in self.parts))

    def expect(self, arch: Arch) -> Tensor:
        """The expectation over the inputs that are kept; float64."""
        weights = _weights(arch, self.name)
        values = torch.ones(len(self.parts)) if weights is None else weights.row
        if any(self.name in part.names for part in self.parts):
            return self._by_sets(values.double(), arch)
        kept = inclusion(values.double(), self.pick)
        live = range(len(self.parts)) if weights is None else weights.live
        terms = [kept[i] * self.parts[i].expect(arch).to(kept.device) for i in live]
        return torch.stack(terms).sum()

    def exact(self, chosen: Chosen) -> float:
        """The costs of the inputs that are kept; their mean share of all where that is not said."""
        if self.name in chosen:
            return sum(self.parts[i].exact(chosen) for i in chosen[self.name])
        share = self.pick / len(self.parts)
        return share * sum(part.exact(chosen) for part in self.parts)

    def _by_sets(self, values: Tensor, arch: Arch) -> Tensor:
        """The same decision again below: each set that may be kept is known to be kept there."""
        terms = []
        for kept in combinations(range(len(self.parts)), self.pick):
            certain = torch.zeros_like(values)[None]
            certain[0, list(kept)] = 1.0
            inside = {**arch, self.name: Weights(certain, kept)}
            chance = set_probability(values, kept)
            terms += [chance * self.parts[i].expect(inside).to(values.device) for i in kept]
        return torch.stack(terms).sum()

    def plus(self, other: CostNode) -> CostNode:
        """Both, input by input."""
        assert isinstance(other, Inclusion)
        pairs = zip(self.parts, other.parts, strict=True)
        return Inclusion(self.name, self.pick, tuple(add(pair) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Table:
    """``sum_ij.. p_i q_j .. v_ij..``: a cost by the candidates of a few independent decisions.

    A decision in groups enters with the mean of its rows: exact where the cost is linear in the
    number of groups that take a candidate. Where a decision was not executed, it costs nothing.

    Attributes:
        decisions: their names, all different.
        values: float64, one axis for each decision in this order.
    """

    decisions: tuple[str, ...]
    values: Tensor

    @property
    def key(self) -> Key:
        """Merges with tables over the same decisions."""
        return ("table", "|".join(self.decisions))

    @property
    def names(self) -> frozenset[str]:
        """The decisions."""
        return frozenset(self.decisions)

    def expect(self, arch: Arch) -> Tensor:
        """The expectation over all decisions; float64."""
        rows = [_weights(arch, name) for name in self.decisions]
        if any(row is None for row in rows):
            return torch.zeros((), dtype=torch.float64)
        found = self.values
        for weights in reversed(rows):
            assert weights is not None
            row = weights.values.double().mean(0)
            found = found.to(row.device) @ row
        return found

    def exact(self, chosen: Chosen) -> float:
        """The value at what is kept, mean over the groups."""
        if any(name not in chosen for name in self.decisions):
            return 0.0
        places = list(product(*(chosen[name] for name in self.decisions)))
        return sum(self._at(place) for place in places) / len(places)

    def plus(self, other: CostNode) -> CostNode:
        """One table of both values."""
        assert isinstance(other, Table)
        return Table(self.decisions, self.values + other.values)

    def _at(self, place: Sequence[int]) -> float:
        value = self._nested
        for index in place:
            value = value[index]
        return cast(float, value)

    @cached_property
    def _nested(self) -> Any:
        return self.values.tolist()  # indexing a tensor takes microseconds, of which there are many


@dataclass(frozen=True)
class Factor:
    """What a cost is multiplied by: ``values[i]`` where ``decision`` takes candidate ``i``."""

    decision: str
    values: tuple[float, ...]


def scaled(value: float, factors: Sequence[Factor]) -> CostNode:
    """``value`` times all factors; equal decisions count as one, never as independent."""
    rows: dict[str, Tensor] = {}
    for factor in factors:
        row = torch.tensor(factor.values, dtype=torch.float64, device="cpu")
        rows[factor.decision] = rows[factor.decision] * row if factor.decision in rows else row
    if not rows or value == 0:
        return Leaf(float(value))
    table = torch.tensor(float(value), dtype=torch.float64, device="cpu")
    for name in sorted(rows):
        table = table.unsqueeze(-1) * rows[name]
    return Table(tuple(sorted(rows)), table)


def times(node: CostNode, factor: float) -> CostNode:
    """A leaf, a table, or a sum of these, times a number."""
    if isinstance(node, Leaf):
        return Leaf(node.value * factor)
    if isinstance(node, Table):
        return Table(node.decisions, node.values * factor)
    assert isinstance(node, Sum)
    return Sum(tuple(times(part, factor) for part in node.parts))


def tree_of(net: nn.Module, own: Mapping[nn.Module, float | CostNode]) -> CostNode:
    """The tree of ``net`` when module ``m`` itself, without its children, costs ``own[m]``."""

    def visit(module: nn.Module) -> CostNode:
        if isinstance(module, Costed):
            return module.cost(visit)
        parts = [visit(child) for child in module.children()]
        value = own.get(module, 0.0)
        return add([Leaf(float(value)) if isinstance(value, int | float) else value, *parts])

    return visit(net)
