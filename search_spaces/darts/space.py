"""The search space: decisions, supernet, network, derivation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import combinations
from typing import Literal

import networkx as nx
from torch import nn

from nas.arch import Arch
from nas.dataspec import DataSpec
from nas.decision import Candidate, Choice, Genotype
from nas.errors import SpaceError
from search_spaces.darts.cells import Cells
from search_spaces.darts.choices import cells_of, choices_of
from search_spaces.darts.convert import format_cells, parse_cells
from search_spaces.darts.decisions import (
    ALIKE,
    KEPT,
    KINDS,
    EdgeOperations,
    active_names,
    check_operations,
    edge_name,
    node_range,
    schema,
)
from search_spaces.darts.derivation import derive
from search_spaces.darts.graph import graph_of
from search_spaces.darts.named import NAMED, named_cells
from search_spaces.darts.network import Network, Stem, derived_cells
from search_spaces.darts.searchable import SearchableCell
from search_spaces.heads import check_output_size, per_position

DARTS_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
IMAGENET_SIZE = 128  # from this size on, `stem=auto` takes the stem that divides the size by 8
MIN_AUXILIARY = {"cifar": 8, "imagenet": 7}  # features that the auxiliary head needs


class DartsSpace:
    """Normal and reduction cells of ``nodes`` nodes, two kept inputs each (arXiv 1806.09055).

    Decisions, for each cell kind: ``normal/0->2`` is the operation on the edge from state 0 to
    node 2; ``normal/node2/inputs`` are the two states that node 2 keeps. States 0 and 1 are the two
    previous cells. ``none`` is a candidate of the supernet, never of a genotype.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the supernet's first cells.
        cells: of the supernet, at least 3, so that both kinds occur.
        nodes: intermediate nodes of a cell.
        operations: candidates in the order of the last axis of the logits.
        network_channels: of the derived network.
        network_cells: of the derived network.
        auxiliary: whether the derived network trains with an auxiliary head, where there is room
            for one and the outputs are class scores; ``notes`` say so where it is left out.
        stem: ``cifar`` keeps the size, ``imagenet`` divides it by 8, ``auto`` decides by size.
        edge_operations: candidates of edges that have other ones than ``operations``, by decision,
            as in ``{"normal/0->2": ["skip_connect", "dil_conv_3x3"]}``.

    Raises:
        SpaceError: for unknown operations or edges, too few cells, or images out of another
            size than the input's.
    """

    name = "darts"
    supernet_arguments = ("channels", "cells")

    def __init__(
        self,
        data: DataSpec,
        channels: int = 16,
        cells: int = 8,
        nodes: int = 4,
        operations: Sequence[str] = DARTS_OPERATIONS,
        network_channels: int = 36,
        network_cells: int = 20,
        auxiliary: bool = True,
        stem: Literal["auto", "cifar", "imagenet"] = "auto",
        edge_operations: EdgeOperations = ALIKE,
    ) -> None:
        check_output_size(self.name, data)
        _check_sizes({"space.cells": cells, "space.network_cells": network_cells}, nodes)
        check_operations(operations, edge_operations, nodes, data.dims)
        self.data, self.channels, self.cells, self.nodes = data, channels, cells, nodes
        self.operations = tuple(operations)
        self.edge_operations = {name: tuple(each) for name, each in edge_operations.items()}
        self.network_channels, self.network_cells = network_channels, network_cells
        self.stem: Stem = _stem(data, stem)
        self.notes: list[str] = []
        self.auxiliary = auxiliary and self._room_for_auxiliary()
        self.decisions = schema(nodes, self.operations, self.edge_operations)

    def supernet(self) -> nn.Module:
        """All edges open: mixed operations, batch normalization without affine parameters."""
        return self._searchable(self.channels, self.cells, affine=False, normalized_pooling=True)

    def blueprint(self) -> nn.Module:
        """All edges open at the derived network's size and form; for costs."""
        return self._searchable(
            self.network_channels, self.network_cells, affine=True, normalized_pooling=False
        )

    def network(self, genotype: Genotype) -> Network:
        """The derived network, freshly initialized; outputs (N, outputs), or one per position."""
        return self.build(self.to_cells(genotype))

    def build(self, cells: Cells) -> Network:
        """The network of any pair of cells, also of published ones outside this space."""
        return Network(
            derived_cells(cells, self.data.dims),
            data=self.data,
            channels=self.network_channels,
            cells=self.network_cells,
            stem=self.stem,
            auxiliary=self.auxiliary,
        )

    def discretize(self, arch: Arch) -> dict[str, Choice]:
        """Two inputs per node, one operation on each; see ``search_spaces.darts.derivation``."""
        return derive(arch, self.nodes, self.operations, self.edge_operations)

    def active(self, choices: Genotype) -> Set[str]:
        """The inputs of every node, and the operations on the edges they keep."""
        return active_names(choices, self.nodes)

    def to_cells(self, genotype: Genotype) -> Cells:
        """The cells of a genotype, inputs in ascending order."""
        return cells_of(genotype, self.nodes)

    def from_cells(self, cells: Cells) -> dict[str, Choice]:
        """The genotype of a pair of cells; raises SpaceError for cells outside this space."""
        return choices_of(cells, self.nodes, self.operations, self.edge_operations)

    def parse(self, text: str) -> dict[str, Choice]:
        """The genotype of ``Genotype(normal=[...], ...)`` text, which is read as data."""
        return self.from_cells(parse_cells(text))

    def format(self, genotype: Genotype) -> str:
        """``Genotype(normal=[...], ...)``, the text of the released code."""
        return format_cells(self.to_cells(genotype))

    def named(self) -> Mapping[str, Cells]:
        """Published cells by name; some lie outside this space but can be built."""
        return {name: named_cells(name) for name in NAMED}

    def view(self, genotype: Genotype) -> dict[str, list[list[list[str | int]]]]:
        """Cells as lists of [operation, input], for people who read the file."""
        cells = self.to_cells(genotype)
        return {
            kind: [[[e.operation, e.input] for e in edges] for edges in cells.of(kind).nodes]
            for kind in KINDS
        }

    def graph(self, genotype: Genotype) -> nx.MultiDiGraph[str]:
        """Both cells as one graph; see ``search_spaces.darts.graph``."""
        return graph_of(self.to_cells(genotype))

    def size(self) -> int:
        """``(prod_node C(inputs, 2) 7^2)^2`` for the usual eight operations on all edges."""
        return self.weighted_size(lambda decision, candidate: 1)

    def weighted_size(self, count: Callable[[str, Candidate], int]) -> int:
        """The size where a genotype counts as often as its operations, multiplied."""
        return math.prod(
            sum(math.prod(kept) for kept in combinations(self._counts(kind, node, count), KEPT))
            for kind in KINDS
            for node in node_range(self.nodes)
        )

    def _counts(self, kind: str, node: int, count: Callable[[str, Candidate], int]) -> list[int]:
        """How much the operations that a genotype can hold count on each edge of a node."""
        decisions = [self.decisions[edge_name(kind, source, node)] for source in range(node)]
        return [sum(count(d.name, each) for each in d.candidates) for d in decisions]

    def _searchable(
        self, channels: int, cells: int, *, affine: bool, normalized_pooling: bool
    ) -> Network:
        make_cell = SearchableCell(
            self.nodes,
            self.operations,
            self.data.dims,
            affine,
            normalized_pooling,
            self.edge_operations,
        )
        return Network(make_cell, data=self.data, channels=channels, cells=cells, stem=self.stem)

    def _room_for_auxiliary(self) -> bool:
        """Whether it has class scores and large enough features to work on; notes it if not."""
        if per_position(self.data):
            self.notes.append(
                "auxiliary head off: it gives one score per class, the data is of kind "
                f"{self.data.kind!r}"
            )
            return False
        halvings = 2 if self.stem == "cifar" else 5
        size = min(self.data.size)
        for _ in range(halvings):
            size = (size + 1) // 2
        enough = size >= MIN_AUXILIARY[self.stem]
        if not enough:
            self.notes.append(
                f"auxiliary head off: it needs features of {MIN_AUXILIARY[self.stem]}, "
                f"inputs of {'x'.join(map(str, self.data.size))} leave {size}"
            )
        return enough


def _check_sizes(cells: Mapping[str, int], nodes: int) -> None:
    for label, number in cells.items():
        if number < 3:
            raise SpaceError(f"{label} must be at least 3 for both kinds of cells, got {number}")
    if nodes < 1:
        raise SpaceError(f"space.nodes must be at least 1, got {nodes}")


def _stem(data: DataSpec, stem: str) -> Stem:
    if stem == "auto":
        return "imagenet" if min(data.size) >= IMAGENET_SIZE else "cifar"
    if stem == "cifar":
        return "cifar"
    if stem == "imagenet":
        return "imagenet"
    raise SpaceError(f"space.stem must be auto, cifar or imagenet, got {stem!r}")
