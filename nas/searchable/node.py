"""A node of a cell: the sum of its incoming edges, optionally weighted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from nas.cost_tree import CostNode, Inclusion
from nas.decision import Decision
from nas.supernet import Slot, frozen

Incoming = tuple[int, nn.Module, Tensor | None]  # place of the source, edge, weight of the edge


class Node(nn.Module):
    """``x_j = sum_i b_i edge_i(x_i)`` over the live inputs of a node.

    Where the architecture holds the inputs decision, ``b`` are its weights: a softmax over the
    incoming edges is PC-DARTS's edge normalization (arXiv 1907.05737, eq. 4), k-hot weights give
    the plain sum of a derived cell. Where it does not, all edges are added up (DARTS).

    Args:
        edges: the edge that reads state ``i`` at place ``i``.
        inputs: the decision over them; its candidates are ``0 .. len(edges) - 1``.
    """

    def __init__(self, edges: Iterable[nn.Module], inputs: Decision) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.slot = Slot(inputs, optional=True)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """The node's value (N, C, ...) from the states before it."""
        return total([_weighted(edge(states[i]), weight) for i, edge, weight in self.incoming()])

    def incoming(self) -> list[Incoming]:
        """The live inputs, each with its edge and its weight (scalar; None for 1)."""
        if not self.slot.bound:
            return [(i, edge, None) for i, edge in enumerate(self.edges)]
        weights = self.slot()
        row = weights.row
        return [(i, self.edges[i], row[i]) for i in weights.live]

    def freeze(self) -> nn.Module:
        """The plain sum of the chosen edges."""
        chosen = self.slot().live if self.slot.bound else tuple(range(len(self.edges)))
        return SumOfEdges([frozen(self.edges[i]) for i in chosen], chosen)

    def cost(self, visit: Callable[[nn.Module], CostNode]) -> CostNode:
        """Each edge by the probability that it is kept."""
        decision = self.slot.decision
        return Inclusion(decision.name, decision.pick, tuple(visit(edge) for edge in self.edges))


class SumOfEdges(nn.Module):
    """``x_j = sum_k edge_k(x_{inputs[k]})``: a node of a derived cell."""

    def __init__(self, edges: Iterable[nn.Module], inputs: Sequence[int]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.inputs = tuple(inputs)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """The node's value (N, C, ...) from the states before it."""
        return total([edge(states[i]) for i, edge, _ in self.incoming()])

    def incoming(self) -> list[Incoming]:
        """The inputs, each with its edge; no weights."""
        return [(i, edge, None) for i, edge in zip(self.inputs, self.edges, strict=True)]


def _weighted(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else weight * x


def total(terms: Sequence[Tensor]) -> Tensor:
    """The sum of tensors in order, left to right, so that equal terms give equal bits."""
    value = terms[0]
    for term in terms[1:]:
        value = torch.add(value, term)
    return value
