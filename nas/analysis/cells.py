"""Cells of a genotype's graph."""

from typing import Any

from nas.errors import NasError, nearest


def cells_of(graph: Any) -> list[str]:
    """Name the cells of a genotype's graph, in the order of its nodes."""
    return list(dict.fromkeys(str(data.get("cell", "")) for _, data in graph.nodes(data=True)))


def cell_title(cell: str) -> str:
    """Name a cell above its picture: ``normal cell``; the only cell of a space is ``cell``."""
    return f"{cell} cell" if cell not in ("", "cell") else "cell"


def cell_graph(graph: Any, cell: str) -> Any:
    """Return the part of a genotype's graph that is one cell, never empty.

    Raises:
        NasError: when the graph has no such cell.
    """
    nodes = [n for n, data in graph.nodes(data=True) if str(data.get("cell", "")) == cell]
    if nodes:
        return graph.subgraph(nodes)
    cells = cells_of(graph)
    known = ", ".join(cells) if cells else "no cells"
    raise NasError(
        f"cell {cell!r} is not in this graph, which has {known}; name one of these"
        f"{nearest(cell, cells)}."
    )
