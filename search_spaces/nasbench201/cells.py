"""A cell as data, and its text form ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import GenotypeError, nearest

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4  # node 0 is the cell's input, node 3 its output
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, node), in the order of the text
FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
MAX_TEXT = 200  # characters; the longest cell has 95


@dataclass(frozen=True)
class Cell:
    """The operation on each of the six edges, in the order of ``EDGES``."""

    operations: tuple[str, ...]

    def of(self, node: int) -> tuple[str, ...]:
        """The operations into a node, from source 0 on."""
        pairs = zip(EDGES, self.operations, strict=True)
        return tuple(operation for (_, target), operation in pairs if target == node)


def format_cell(cell: Cell) -> str:
    """The string that names the cell in NAS-Bench-201; ``parse_cell`` reads it back."""
    nodes = []
    for node in range(1, NODES):
        edges = [f"{operation}~{source}" for source, operation in enumerate(cell.of(node))]
        nodes.append(f"|{'|'.join(edges)}|")
    return "+".join(nodes)


def parse_cell(text: str) -> Cell:
    """The cell of a NAS-Bench-201 string, read as data.

    Raises GenotypeError saying what is wrong where.
    """
    if len(text) > MAX_TEXT:
        raise GenotypeError(
            f"a NAS-Bench-201 string has at most {MAX_TEXT} characters, got {len(text)}"
        )
    parts = text.strip().split("+")
    if len(parts) != NODES - 1:
        raise GenotypeError(
            f"a NAS-Bench-201 string has {NODES - 1} nodes joined by '+', as in {FORM}; "
            f"got {len(parts)}"
        )
    nodes = [_node(node, part) for node, part in enumerate(parts, start=1)]
    return Cell(tuple(operation for operations in nodes for operation in operations))


def _node(node: int, text: str) -> list[str]:
    if len(text) < 2 or text[0] != "|" or text[-1] != "|":
        raise GenotypeError(
            f"node {node} of a NAS-Bench-201 string begins and ends with '|', as in {FORM}; "
            f"got {text!r}"
        )
    edges = text[1:-1].split("|")
    if len(edges) != node:
        raise GenotypeError(
            f"node {node} of a NAS-Bench-201 string has {node} operation(s), one for each node "
            f"before it; got {len(edges)} in {text!r}"
        )
    return [_operation(node, source, edge) for source, edge in enumerate(edges)]


def _operation(node: int, source: int, text: str) -> str:
    name, tilde, given = text.partition("~")
    if not tilde or given != str(source):
        raise GenotypeError(
            f"node {node} of a NAS-Bench-201 string: operation number {source + 1} is written "
            f"operation~{source}, got {text!r}"
        )
    if name not in OPERATIONS:
        raise GenotypeError(
            f"node {node} of a NAS-Bench-201 string: unknown operation {name!r}; known are "
            f"{', '.join(OPERATIONS)}{nearest(name, OPERATIONS)}"
        )
    return name
