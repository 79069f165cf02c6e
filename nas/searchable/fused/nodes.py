"""A cell's nodes, source by source: all edges that leave a state are computed together."""

from __future__ import annotations

from collections.abc import Sequence
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
        self._stacks: dict[tuple[int, ...], Stack] = {}

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
        given = Input(x, call.follow)
        weights = [edge.mixed.slot() for edge in edges]
        terms: list[Term] = []
        columns: list[int] = []
        for candidate in range(len(edges[0].mixed.ops)):
            places = tuple(i for i, w in enumerate(weights) if candidate in w.live)
            if not places:
                continue
            stack = self._stack([edges[i].mixed for i in places], candidate)
            if not stack.zero:
                terms.append(_term(stack, given, places, call.kernels))
                columns.append(candidate)
        table = torch.stack([_row(w, edge) for w, edge in zip(weights, edges, strict=True)])
        if not terms:  # `none` alone is live
            return [edge.mixed(x) for edge in edges]
        return call.kernels.mixture(terms, table[:, columns])

    def _stack(self, mixed: Sequence[MixedOp], candidate: int) -> Stack:
        key = (candidate, *(id(module) for module in mixed))
        if key not in self._stacks:
            modules = [list(module.ops.values())[candidate] for module in mixed]
            self._stacks[key] = Stack(modules)
        return self._stacks[key]


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


def _term(stack: Stack, given: Input, places: tuple[int, ...], kernels: Kernels) -> Term:
    value = stack(given, kernels)
    if not value.norms:
        return Term(value.z, None, None, False, places, value.shared)
    found = statistics(value, given.follow)
    return Term(value.z, found.mean, found.rstd, found.through, places, value.shared)


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
    terms = [Term(rest, None, None, False, (0,), True) for rest, _ in around]
    weights = torch.stack([weight for _, weight in around if weight is not None])
    (rest,) = kernels.mixture(terms, weights.unsqueeze(0))
    return merged(value, rest)
