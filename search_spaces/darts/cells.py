"""A cell: as data (which operation on which input) and as a module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nas.searchable import Nodes, scoped
from nas.searchable.node import total
from search_spaces.ops import FactorizedReduce, relu_conv_bn


class Edge(NamedTuple):
    """An operation on one input of a node; inputs 0 and 1 are the two previous cells."""

    operation: str
    input: int


@dataclass(frozen=True)
class Plan:
    """What a derived cell is made of.

    Attributes:
        nodes: incoming edges of node 2, 3, ... in the order they are added up.
        concat: the states whose channels make up the cell's output.
    """

    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]


@dataclass(frozen=True)
class Cells:
    """The two cells of a network."""

    normal: Plan
    reduce: Plan

    def of(self, kind: str) -> Plan:
        """The plan of ``normal`` or ``reduce``."""
        return self.normal if kind == "normal" else self.reduce


@dataclass(frozen=True)
class Site:
    """Where a cell stands: what comes in, and what it must do.

    Attributes:
        before_previous: channels of the cell before the previous one.
        previous: channels of the previous cell.
        channels: of every node.
        reduction: whether this cell halves the size.
        after_reduction: whether the previous one did.
    """

    before_previous: int
    previous: int
    channels: int
    reduction: bool
    after_reduction: bool

    @property
    def kind(self) -> str:
        """``normal`` or ``reduce``."""
        return "reduce" if self.reduction else "normal"

    def stride(self, source: int) -> int:
        """Stride of an edge that leaves state ``source``: only a cell's inputs are reduced."""
        return 2 if self.reduction and source < 2 else 1


class Cell(nn.Module):
    """Two inputs brought to one width, nodes that sum their edges, a concatenation.

    Args:
        site: channels in, channels of the nodes, and whether sizes are halved.
        nodes: modules from the list of states to the next state (N, C, ...).
        concat: the states that are concatenated.
        affine: of the batch normalization after the two input convolutions.
        dims: number of spatial dimensions.
    """

    def __init__(
        self, site: Site, nodes: Iterable[nn.Module], concat: Sequence[int], affine: bool, dims: int
    ) -> None:
        super().__init__()
        if site.after_reduction:
            self.preprocess0: nn.Module = FactorizedReduce(
                site.before_previous, site.channels, affine=affine, dims=dims
            )
        else:
            self.preprocess0 = relu_conv_bn(
                site.before_previous, site.channels, affine=affine, dims=dims
            )
        scoped(self.preprocess0, f"{site.kind}/preprocess0")
        self.preprocess1 = relu_conv_bn(site.previous, site.channels, affine=affine, dims=dims)
        scoped(self.preprocess1, f"{site.kind}/preprocess1")
        self.nodes = Nodes(nodes)
        self.concat = tuple(concat)

    def forward(self, before_previous: Tensor, previous: Tensor) -> Tensor:
        """The cell's output (N, len(concat) * C, ...)."""
        states = self.nodes([self.preprocess0(before_previous), self.preprocess1(previous)])
        return torch.cat([states[i] for i in self.concat], 1)


class DropPath(nn.Module):
    """Drops whole samples while training, and scales the others up (1605.07648).

    ``probability`` is that of dropping a sample; it is set from outside between epochs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.probability = 0.0

    def forward(self, y: Tensor) -> Tensor:
        """``y`` (N, C, ...): divided by the keep probability, or all 0 for a sample."""
        if not self.training or self.probability == 0.0:
            return y
        keep = 1.0 - self.probability
        mask = y.new_empty(y.shape[0], *([1] * (y.dim() - 1))).bernoulli_(keep)
        return y / keep * mask


class DerivedNode(nn.Module):
    """``x_j = sum_k drop(edge_k(x_{inputs[k]}))``: every edge but the identity can be dropped.

    The edges have the names that they have in a frozen supernet.
    """

    def __init__(self, edges: Iterable[nn.Module], inputs: Sequence[int]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.inputs = tuple(inputs)
        self.drop = DropPath()

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """The node's value (N, C, ...) from the states before it."""
        pairs = zip(self.edges, self.inputs, strict=True)
        return total([self._edge(edge, states[i]) for edge, i in pairs])

    def _edge(self, edge: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = edge(x)
        return y if isinstance(edge, nn.Identity) else self.drop(y)
