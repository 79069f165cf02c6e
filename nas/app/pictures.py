"""Pictures of cells, and the weights that a search ended with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from nas.analysis.cells import cell_title, cells_of
from nas.analysis.draw import draw_cell
from nas.analysis.svg import save_svg
from nas.decision import Genotype
from nas.space import SearchSpace

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.figure import Figure


def graph_of(space: SearchSpace, choices: Genotype) -> nx.MultiDiGraph[str] | None:
    """The genotype's graph, or None where the space draws none."""
    make = getattr(space, "graph", None)
    return None if make is None else cast("nx.MultiDiGraph[str]", make(choices))


def draw_cells(space: SearchSpace, choices: Genotype, folder: Path) -> dict[str, Figure]:
    """Write one SVG per cell into ``folder``; returns the figures by cell."""
    graph = graph_of(space, choices)
    if graph is None:
        return {}
    figures = {cell: draw_cell(graph, cell, cell_title(cell)) for cell in cells_of(graph)}
    for cell, figure in figures.items():
        save_svg(figure, folder / f"{cell or 'cell'}.svg")
    return figures
