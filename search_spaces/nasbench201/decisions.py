"""What is chosen: the names and candidates of the decisions, and cells as genotypes."""

from __future__ import annotations

from collections.abc import Sequence

from nas.decision import Choice, Decision, Genotype
from nas.errors import SpaceError
from search_spaces.nasbench201.cells import EDGES, Cell

PREFIX = "cell"  # all cells of the network are this one


def edge_name(source: int, node: int) -> str:
    """The decision over the operations on the edge from ``source`` to ``node``."""
    return f"{PREFIX}/{source}->{node}"


def edge_decision(source: int, node: int, operations: Sequence[str]) -> Decision:
    """One of ``operations`` on an edge; ``none`` is a candidate like the others."""
    return Decision(edge_name(source, node), tuple(operations))


def inputs_decision(node: int) -> Decision:
    """The inputs of a node, which keeps them all: read by edge normalization alone."""
    return Decision(f"{PREFIX}/node{node}/inputs", tuple(range(node)), pick=node)


def schema(operations: Sequence[str]) -> dict[str, Decision]:
    """The decisions of a genotype by name, in the order of ``EDGES``."""
    found = [edge_decision(source, node, operations) for source, node in EDGES]
    return {decision.name: decision for decision in found}


def cell_of(genotype: Genotype) -> Cell:
    """The cell of a genotype."""
    return Cell(tuple(str(genotype[edge_name(*edge)]) for edge in EDGES))


def choices_of(cell: Cell, operations: Sequence[str]) -> dict[str, Choice]:
    """The genotype of a cell; raises SpaceError for an operation outside the space."""
    choices: dict[str, Choice] = {}
    for (source, node), name in zip(EDGES, cell.operations, strict=True):
        if name not in operations:
            raise SpaceError(
                f"edge {source}->{node}: operation {name!r} is not in this space, "
                f"which has {', '.join(operations)}"
            )
        choices[edge_name(source, node)] = name
    return choices
