"""The search space: decisions, supernet, network, derivation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
from torch import nn

from nas.dataspec import DataSpec
from nas.decision import Choice, Genotype
from nas.errors import SpaceError, nearest
from search_spaces.heads import check_output_size
from search_spaces.nasbench201.cells import NODES, OPERATIONS, Cell, format_cell, parse_cell
from search_spaces.nasbench201.decisions import PREFIX, cell_of, choices_of, schema
from search_spaces.nasbench201.graph import graph_of
from search_spaces.nasbench201.named import NAMED
from search_spaces.nasbench201.network import (
    MakeCell,
    Network,
    Operations,
    derived_cell,
    open_cell,
)


class NasBench201Space:
    """One cell of 4 nodes and 6 edges, repeated in three stages (NAS-Bench-201, arXiv 2001.00326).

    Decisions: ``cell/0->1`` is the operation on the edge from node 0 to node 1, and so on for all
    pairs of nodes. ``none`` is a candidate like the others, so that 5^6 = 15,625 genotypes exist,
    each the best operation of every edge; no edge is dropped in any other way.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        channels: of the supernet's first stage; 16 in the paper.
        cells: of each of the supernet's three stages; 5 in the paper.
        operations: candidates in the order of the last axis of the logits.
        network_channels: of the derived network's first stage.
        network_cells: of each of the derived network's stages.

    Raises:
        SpaceError: for unknown operations, too few cells, or images out of another size than the
            input's.
    """

    name = "nasbench201"
    supernet_arguments = ("channels", "cells")

    def __init__(
        self,
        data: DataSpec,
        channels: int = 16,
        cells: int = 5,
        operations: Sequence[str] = OPERATIONS,
        network_channels: int = 16,
        network_cells: int = 5,
    ) -> None:
        check_output_size(self.name, data)
        _check_operations(operations)
        sizes = {"channels": channels, "cells": cells}
        sizes |= {"network_channels": network_channels, "network_cells": network_cells}
        for argument, number in sizes.items():
            if number < 1:
                raise SpaceError(f"space.{argument} must be at least 1, got {number}")
        self.data, self.channels, self.cells = data, channels, cells
        self.network_channels, self.network_cells = network_channels, network_cells
        self.operations = tuple(operations)
        self.decisions = schema(self.operations)

    def supernet(self) -> nn.Module:
        """All edges open, their batch normalization without affine parameters and statistics."""
        return self._open(self.channels, self.cells, searched=True)

    def blueprint(self) -> nn.Module:
        """All edges open at the derived network's size and form; for costs."""
        return self._open(self.network_channels, self.network_cells, searched=False)

    def network(self, genotype: Genotype) -> Network:
        """The derived network, freshly initialized; outputs (N, outputs), or one per position."""
        return self.build(self.to_cells(genotype))

    def build(self, cell: Cell) -> Network:
        """The network of a cell, also of one with operations outside this space."""
        make = Operations(self.data.dims)
        return self._network(
            lambda channels: derived_cell(cell, channels, make),
            self.network_channels,
            self.network_cells,
        )

    def to_cells(self, genotype: Genotype) -> Cell:
        """The cell of a genotype."""
        return cell_of(genotype)

    def from_cells(self, cell: Cell) -> dict[str, Choice]:
        """The genotype of a cell; raises SpaceError for an operation outside this space."""
        return choices_of(cell, self.operations)

    def parse(self, text: str) -> dict[str, Choice]:
        """The genotype of ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, which is read as data."""
        return self.from_cells(parse_cell(text))

    def format(self, genotype: Genotype) -> str:
        """``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, the string of the benchmark's tables."""
        return format_cell(self.to_cells(genotype))

    def named(self) -> Mapping[str, Cell]:
        """Published cells by name."""
        return {name: parse_cell(text) for name, text in NAMED.items()}

    def view(self, genotype: Genotype) -> dict[str, list[list[list[str | int]]]]:
        """The cell as lists of [operation, input], for people who read the file."""
        cell = self.to_cells(genotype)
        nodes = [cell.of(node) for node in range(1, NODES)]
        return {PREFIX: [[[name, i] for i, name in enumerate(edges)] for edges in nodes]}

    def graph(self, genotype: Genotype) -> nx.MultiDiGraph[str]:
        """The cell as a graph; see ``search_spaces.nasbench201.graph``."""
        return graph_of(self.to_cells(genotype))

    def _open(self, channels: int, cells: int, *, searched: bool) -> Network:
        make = Operations(self.data.dims, searched)
        return self._network(lambda width: open_cell(self.operations, width, make), channels, cells)

    def _network(self, make_cell: MakeCell, channels: int, cells: int) -> Network:
        return Network(make_cell, data=self.data, channels=channels, cells=cells)


def _check_operations(operations: Sequence[str]) -> None:
    for name in operations:
        if name not in OPERATIONS:
            raise SpaceError(
                f"space.operations: unknown operation {name!r}; known are {', '.join(OPERATIONS)}"
                f"{nearest(name, OPERATIONS)}"
            )
    if not set(operations) - {"none"}:
        raise SpaceError("space.operations needs at least one operation besides none")
