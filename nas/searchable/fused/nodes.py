"""A cell's nodes, source by source: all edges that leave a state are computed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.kernels import Kernels, Term
from nas.searchable.fused.stack import Input, Stack
from nas.searchable.fused.value import Follow, statistics
from nas.searchable.mixed import MixedOp
from nas.searchable.node import Incoming, Node, SumOfEdges, total
from nas.searchable.partial import PartialChannels, merged, pooled
from nas.searchable.recompute import recomputed

KEPT = 256  # sets of edges and live candidates whose stacks are kept


@dataclass(frozen=True)
class Edge:
    """A mixed operation from a source into a node.

    Attributes:
        node: place of the node among the cell's.
        mixed: the operation.
        k: one part in ``k`` of the channels is operated on; 1 for all of them.
        weight: of the edge, a scalar tensor, or None for 1.
    """

    node: int
    mixed: MixedOp
    k: int
    weight: Tensor | None


@dataclass(frozen=True)
class Candidate:
    """A candidate, as one stack over the edges on which it is live."""

    position: int
    stack: Stack
    places: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """What one forward computes with: kernels, statistics to move, whether to compute again."""

    kernels: Kernels
    follow: Follow
    again: bool


class Fusion:
    """Runs the nodes of a cell; owns nothing but the modules it was given.

    Candidates that are equal on all edges of a source run as one (``Stack``), the mixture takes
    over their last normalization, and what partial channels pass around is added up per node.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[tuple[int, tuple[int, ...]], ...], tuple[Candidate, ...]] = {}

    def __call__(
        self,
        nodes: Sequence[Node | SumOfEdges],
        inputs: Sequence[Tensor],
        kernels: Kernels,
        again: bool = False,
    ) -> list[Tensor]:
        """The inputs (N, C, ...) and the values of all nodes.

        With ``again`` mixed operations are computed again in the backward pass.
        """
        states = list(inputs)
        leaving = _by_source([node.incoming() for node in nodes])
        operated: list[list[Tensor]] = [[] for _ in nodes]
        around: list[list[tuple[Tensor, Tensor | None]]] = [[] for _ in nodes]
        call = Call(kernels, Follow(), again)
        for source in range(len(inputs) + len(nodes) - 1):
            if source >= len(inputs):
                node = source - len(inputs)
                states.append(_joined(operated[node], around[node], kernels))
            self._leave(states[source], leaving.get(source, ()), operated, around, call)
        states.append(_joined(operated[-1], around[-1], kernels))
        call.follow.apply()
        return states

    def _leave(
        self,
        x: Tensor,
        edges: Sequence[Edge],
        operated: list[list[Tensor]],
        around: list[list[tuple[Tensor, Tensor | None]]],
        call: Call,
    ) -> None:
        for group in _alike(edges):
            k, stride = group[0].k, group[0].mixed.stride
            part = x
            if k > 1:
                size = x.shape[1] // k
                part, rest = torch.split(x, [size, x.shape[1] - size], 1)
                rest = pooled(rest, stride).contiguous()
                for edge in group:
                    around[edge.node].append((rest, edge.weight))
            values = self._mixed(part.contiguous(), group, call)
            for edge, value in zip(group, values, strict=True):
                operated[edge.node].append(value)

    def _mixed(self, x: Tensor, edges: Sequence[Edge], call: Call) -> Sequence[Tensor]:
        """The mixed operations of all edges on their common input."""
        if not call.again:
            return self._computed(x, edges, call)
        owners = nn.ModuleList(edge.mixed for edge in edges)
        values: Sequence[Tensor] = recomputed(
            owners, lambda given: self._computed(given, edges, call), x
        )
        return values

    def _computed(self, x: Tensor, edges: Sequence[Edge], call: Call) -> Sequence[Tensor]:
        weights = [edge.mixed.slot() for edge in edges]
        candidates = self._candidates([edge.mixed for edge in edges], weights)
        if not candidates:  # `none` alone is live
            return [edge.mixed(x) for edge in edges]
        given = Input(x, call.follow)
        terms = [_term(found, given, call.kernels) for found in candidates]
        table = torch.stack([_row(w, edge) for w, edge in zip(weights, edges, strict=True)])
        if len(candidates) < table.shape[1]:
            table = _columns(table, [found.position for found in candidates])
        return call.kernels.mixture(terms, table)

    def _candidates(
        self, mixed: Sequence[MixedOp], weights: Sequence[Weights]
    ) -> Sequence[Candidate]:
        """What runs on these edges: every live candidate that is not zero."""
        key = tuple((id(module), w.live) for module, w in zip(mixed, weights, strict=True))
        if key not in self._found:
            if len(self._found) >= KEPT:  # live candidates that change with every step
                self._found.clear()
            self._found[key] = tuple(_candidates(mixed, weights))
        return self._found[key]


def _candidates(mixed: Sequence[MixedOp], weights: Sequence[Weights]) -> Iterator[Candidate]:
    operations = [tuple(module.ops.values()) for module in mixed]
    for position in range(len(operations[0])):
        places = tuple(i for i, w in enumerate(weights) if position in w.live)
        if places:
            stack = Stack([operations[i][position] for i in places])
            if not stack.zero:
                yield Candidate(position, stack, places)


def _by_source(incoming: Sequence[Sequence[Incoming]]) -> dict[int, list[Edge]]:
    leaving: dict[int, list[Edge]] = {}
    for node, edges in enumerate(incoming):
        for source, module, weight in edges:
            mixed, k = _opened(module)
            leaving.setdefault(source, []).append(Edge(node, mixed, k, weight))
    return leaving


def _opened(module: nn.Module) -> tuple[MixedOp, int]:
    if isinstance(module, PartialChannels):
        return cast(MixedOp, module.inner), module.k
    return cast(MixedOp, module), 1


def _alike(edges: Sequence[Edge]) -> list[list[Edge]]:
    """The edges by what they must share to run together; in the usual spaces that is all."""
    groups: dict[tuple[object, ...], list[Edge]] = {}
    for edge in edges:
        mixed = edge.mixed
        key = (edge.k, mixed.stride, mixed.channels, mixed.slot.decision.candidates)
        groups.setdefault(key, []).append(edge)
    return list(groups.values())


def _term(candidate: Candidate, given: Input, kernels: Kernels) -> Term:
    value = candidate.stack(given, kernels)
    if value.norms and not value.norms[0].affine:
        norm = statistics(value, given.follow)
        return Term(value.z, norm, candidate.places, value.shared)
    z = value.settled(given.follow, kernels)
    return Term(z, None, candidate.places, value.still_shared(z))


def _columns(table: Tensor, positions: Sequence[int]) -> Tensor:
    """Columns of ``table`` (E, n), positions ascending: slices, for an index would be sent over."""
    starts = [p for i, p in enumerate(positions) if i == 0 or positions[i - 1] != p - 1]
    ends = [p + 1 for i, p in enumerate(positions) if positions[i + 1 : i + 2] != [p + 1]]
    return torch.cat([table[:, a:b] for a, b in zip(starts, ends, strict=True)], 1)


def _row(weights: Weights, edge: Edge) -> Tensor:
    return weights.row if edge.weight is None else weights.row * edge.weight


def _joined(
    operated: Sequence[Tensor],
    around: Sequence[tuple[Tensor, Tensor | None]],
    kernels: Kernels,
) -> Tensor:
    """A node's value from what its edges computed and what passed around them."""
    value = total(operated)
    if not around:
        return value
    if around[0][1] is None:
        return merged(value, total([rest for rest, _ in around]))
    terms = [Term(rest, None, (0,), True) for rest, _ in around]
    weights = torch.stack([weight for _, weight in around if weight is not None])
    (rest,) = kernels.mixture(terms, weights.unsqueeze(0))
    return merged(value, rest)
