"""The searchable form of a cell: a mixed operation on every edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from nas.decision import Candidate
from nas.searchable import MixedOp, Node
from search_spaces.darts.cells import Cell, Site
from search_spaces.darts.decisions import (
    EdgeOperations,
    edge_decision,
    inputs_decision,
    node_range,
)
from search_spaces.ops import operation


@dataclass(frozen=True)
class SearchableCell:
    """Builds the cell of a site with all its edges open.

    Attributes:
        nodes: intermediate nodes.
        operations: candidates of every edge, in the order of the last axis of the logits.
        dims: number of spatial dimensions.
        affine: of every batch normalization.
        normalized_pooling: whether batch normalization follows a pooling.
        own: candidates of edges that have other ones, by decision.
    """

    nodes: int
    operations: Sequence[str]
    dims: int
    affine: bool
    normalized_pooling: bool
    own: EdgeOperations = field(default_factory=dict)

    def __call__(self, site: Site) -> Cell:
        """The cell of a site; its nodes read every state before them."""
        states = node_range(self.nodes)
        nodes = [self._node(site, node) for node in states]
        return Cell(site, nodes, tuple(states), affine=self.affine, dims=self.dims)

    def _node(self, site: Site, node: int) -> Node:
        edges = [self._edge(site, source, node) for source in range(node)]
        return Node(edges, inputs_decision(site.kind, node))

    def _edge(self, site: Site, source: int, node: int) -> MixedOp:
        stride = site.stride(source)

        def make(name: Candidate, channels: int) -> nn.Module:
            return operation(
                str(name),
                channels,
                stride,
                affine=self.affine,
                dims=self.dims,
                normalized_pooling=self.normalized_pooling,
            )

        decision = edge_decision(site.kind, source, node, self.operations, self.own)
        return MixedOp(decision, make, channels=site.channels, stride=stride)
