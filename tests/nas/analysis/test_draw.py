from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from nas.analysis.draw import draw_cell, save_svg
from nas.errors import NasError


def parts(figure: Figure) -> tuple[dict[str, Bbox], list[Any], dict[str, Any], Any]:
    """Boxes by name, texts and edges of a drawn cell, as the renderer sees them."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axes,) = figure.axes
    patches = {patch.get_gid(): patch for patch in axes.patches if patch.get_gid()}
    boxes = {
        name: patch.get_window_extent(renderer)
        for name, patch in patches.items()
        if name.startswith(("node-", "label-"))
    }
    edges = {name: patch for name, patch in patches.items() if name.startswith("edge-")}
    return boxes, list(axes.texts), edges, renderer


def overlap(a: Bbox, b: Bbox) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def inside(points: np.ndarray, box: Bbox) -> bool:
    x, y = points.T
    return bool(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any())


def ends_at(points: np.ndarray, box: Bbox) -> bool:
    grown = box.padded(8)
    return grown.contains(*points[0]) or grown.contains(*points[-1])


def check(figure: Figure) -> None:
    """Nothing overlaps, nothing is cut off, no edge runs through what is not its own."""
    boxes, texts, edges, renderer = parts(figure)
    for (first, a), (second, b) in combinations(boxes.items(), 2):
        assert not overlap(a, b), (first, second)
    extents = [text.get_window_extent(renderer) for text in texts]
    for text, extent in zip(texts, extents, strict=True):
        holders = [box for box in boxes.values() if overlap(extent, box)]
        assert len(holders) == (not str(text.get_gid()).startswith("title")), text.get_text()
        for box in [*holders, figure.bbox]:
            assert box.x0 <= extent.x0, text.get_text()
            assert extent.x1 <= box.x1, text.get_text()
            assert box.y0 <= extent.y0, text.get_text()
            assert extent.y1 <= box.y1, text.get_text()
    for name, edge in edges.items():
        path = edge.get_path().interpolated(1).cleaned(curves=False)
        points = edge.get_transform().transform(path.to_polygons(closed_only=False)[0])
        steps = np.linspace(0, 1, 8)[:, None, None]
        points = (
            (points[:-1] + steps * (points[1:] - points[:-1])).transpose(1, 0, 2).reshape(-1, 2)
        )
        for other, box in boxes.items():
            own = other == name.replace("edge", "label")
            own = own or (other.startswith("node") and ends_at(points, box))
            assert own or not inside(points, box), (name, other)


@pytest.mark.parametrize("steps", [4, 5])
@pytest.mark.parametrize("distinct", [True, False])
def test_nothing_overlaps_in_random_cells(
    make_cell: Callable[..., Any], steps: int, distinct: bool
) -> None:
    for seed in range(8):
        check(draw_cell(make_cell(seed, steps, distinct), "normal", f"cell {seed}"))


@pytest.mark.parametrize("cell", ["normal", "reduce"])
def test_nothing_overlaps_in_a_published_cell(pc_darts: Any, cell: str) -> None:
    check(draw_cell(pc_darts, cell, f"{cell} cell"))


def test_the_check_sees_an_overlap(pc_darts: Any) -> None:
    figure = draw_cell(pc_darts, "normal", "normal")
    label = next(p for p in figure.axes[0].patches if str(p.get_gid()).startswith("label"))
    node = next(p for p in figure.axes[0].patches if str(p.get_gid()).startswith("node"))
    label.set_bounds(*node.get_bbox().bounds)
    with pytest.raises(AssertionError):
        check(figure)


def test_every_operation_is_written_and_data_flows_to_the_right(pc_darts: Any) -> None:
    _, texts, edges, _ = parts(draw_cell(pc_darts, "normal", "normal cell"))
    words = sorted(text.get_text() for text in texts)
    operations = ["avg pool", "dil 3x3", "dil 3x3", "sep 3x3", "sep 3x3", "sep 3x3", "sep 5x5"]
    nodes = ["$c_{k-1}$", "$c_{k-2}$", "$c_{k}$", "0", "1", "2", "3"]
    assert words == sorted([*operations, "skip", *nodes, "normal cell"])
    assert len(edges) == 8 + 4
    for edge in edges.values():
        x = edge.get_path().vertices[:, 0]
        assert (np.diff(x) >= -1e-9).all()


def test_families_have_their_colors_and_concatenation_is_thin(pc_darts: Any) -> None:
    _, _, edges, _ = parts(draw_cell(pc_darts, "reduce", "reduce"))
    assert len({edge.get_edgecolor() for edge in edges.values()}) == 3
    assert sum(edge.get_linewidth() < 1 for edge in edges.values()) == 4


def test_odd_names_are_drawn_as_they_are_and_cut_where_long() -> None:
    graph = nx.MultiDiGraph()
    graph.add_node("x/a", cell="x", label="$bad_{", kind="input")
    graph.add_node("x/b", cell="x", label="a label that is far too long for a box", kind="node")
    graph.add_edge("x/a", "x/b", label="operation_$_with_a_long_name_<&>")
    graph.add_node("x/alone", cell="x", label="alone", kind="node")
    figure = draw_cell(graph, "x", "a $title_ with <marks> " * 9)
    check(figure)


def test_an_unknown_cell_is_refused(pc_darts: Any) -> None:
    with pytest.raises(NasError, match="cell 'third'"):
        draw_cell(pc_darts, "third", "")


def test_the_same_cell_gives_the_same_bytes(pc_darts: Any, tmp_path: Path) -> None:
    paths = [
        save_svg(draw_cell(pc_darts, "normal", "normal"), tmp_path / f"{i}.svg") for i in range(2)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_pyplot_is_not_used() -> None:
    code = (
        "import sys, networkx as nx; from nas.analysis.draw import draw_cell\n"
        "from nas.analysis.svg import svg_bytes; g = nx.MultiDiGraph()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "g.add_node('a', cell='c', label='a', kind='input'); svg_bytes(draw_cell(g, 'c', 'c'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
