"""A cell as a picture: data flows left to right, each operation written on its edge."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nas.analysis.cells import cell_graph
from nas.analysis.layout import Box, Layout, Route, Size, arrange
from nas.analysis.operations import clipped, family, short_label
from nas.analysis.svg import FONT, color, save_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_cell", "save_svg"]

_NODE_POINTS, _LABEL_POINTS, _TITLE_POINTS = 11.0, 9.0, 11.5
_MARGIN, _TITLE_HEIGHT, _ARROW = 10.0, 24.0, 5.5


def draw_cell(graph: Any, cell: str, title: str) -> "Figure":
    """Draw one cell of a genotype's graph; boxes and labels never overlap.

    Args:
        graph: a directed multigraph; nodes carry ``cell``, ``label`` and ``kind``, edges
            ``label``, the operation ("" where outputs are concatenated).
        cell: which cell, for instance ``normal``.
        title: written above the picture.

    Raises:
        NasError: when there is no such cell, or it has a cycle.
    """
    from matplotlib.figure import Figure

    part = cell_graph(graph, cell)
    names = {node: _node_text(part.nodes[node].get("label", node)) for node in part.nodes}
    layout = arrange(part, lambda node: _node_size(names[node]), _label_size)
    title = clipped(title, 90)
    width = max(layout.width, _text_size(title, _TITLE_POINTS)[0] * 1.1) + 2 * _MARGIN
    height = layout.height + 2 * _MARGIN + _TITLE_HEIGHT
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
    axes.set_axis_off()
    _write(axes, 0.0, 2.0, title, _TITLE_POINTS, "ink", gid=f"title-{_safe(cell)}", left=True)
    _paint(axes, layout, part, names)
    return figure


def _paint(axes: "Axes", layout: Layout, graph: Any, names: dict[Any, str]) -> None:
    """Concatenation edges lie lowest, then operations, then labels and nodes."""
    routes = sorted(layout.routes, key=lambda route: bool(route.name))
    for index, route in enumerate(routes):
        _paint_edge(axes, route, index)
    for index, (node, box) in enumerate(layout.nodes.items()):
        fill = "node" if graph.nodes[node].get("kind", "node") == "node" else "input"
        _paint_box(axes, box, fill, "ink", gid=f"node-{index}", round_by=4.0)
        _write(axes, box.x, _TITLE_HEIGHT + box.y, names[node], _NODE_POINTS, "ink")


def _paint_edge(axes: "Axes", route: Route, index: int) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    kind = family(route.name)
    ink = color("concat" if kind == "concat" else f"line-{kind}")
    points = [(x, _TITLE_HEIGHT + y) for x, y in route.points]
    tip = points[-1]
    reach = tip[0] - _ARROW + 1
    points[-2:] = [(min(x, reach), y) for x, y in points[-2:]]
    vertices, codes = _curve(points)
    patch = PathPatch(
        Path(vertices, [Path.MOVETO, *codes]),
        fill=False,
        edgecolor=ink,
        linewidth=0.8 if kind == "concat" else 1.5,
        linestyle=(0, (3, 2)) if kind == "none" else "solid",
        zorder=1 if kind == "concat" else 2,
        gid=f"edge-{index}",
    )
    axes.add_patch(patch)
    half = 1.7 if kind == "concat" else 2.8
    (x, y), length = tip, _ARROW
    corners = [(x, y), (x - length, y - half), (x - length, y + half)]
    axes.add_patch(Polygon(corners, closed=True, facecolor=ink, edgecolor="none", zorder=3))
    if route.label:
        label = short_label(route.name)
        _paint_box(axes, route.label, f"tint-{kind}", f"line-{kind}", gid=f"label-{index}")
        _write(axes, route.label.x, _TITLE_HEIGHT + route.label.y, label, _LABEL_POINTS, "ink")


def _curve(points: Sequence[Size]) -> tuple[list[Size], list[Any]]:
    """Straight through columns, S-shaped between them: points come in pairs, one per column."""
    from matplotlib.path import Path

    vertices, codes = [points[0]], []
    for index, (x, y) in enumerate(points[1:], start=1):
        if index % 2:
            vertices.append((x, y))
            codes.append(Path.LINETO)
        else:
            x0, y0 = points[index - 1]
            middle = (x0 + x) / 2
            vertices += [(middle, y0), (middle, y), (x, y)]
            codes += [Path.CURVE4] * 3
    return vertices, codes


def _paint_box(
    axes: "Axes", box: Box, fill: str, edge: str, *, gid: str, round_by: float = 6.0
) -> None:
    from matplotlib.patches import FancyBboxPatch

    patch = FancyBboxPatch(
        (box.x - box.width / 2, _TITLE_HEIGHT + box.y - box.height / 2),
        box.width,
        box.height,
        boxstyle=f"round,pad=0,rounding_size={round_by}",
        facecolor=color(fill),
        edgecolor=color(edge),
        linewidth=1.0,
        zorder=4,
        gid=gid,
    )
    axes.add_patch(patch)


def _write(
    axes: "Axes",
    x: float,
    y: float,
    text: str,
    points: float,
    ink: str,
    *,
    gid: str | None = None,
    left: bool = False,
) -> None:
    axes.text(
        x,
        y,
        text,
        fontsize=points,
        family=FONT,
        color=color(ink),
        ha="left" if left else "center",
        va="center_baseline" if not left else "center",
        parse_math=_is_math(text),
        zorder=5,
        gid=gid,
    )


def _node_text(label: object) -> str:
    """Set names such as ``c_{k-2}`` as mathematics; all others as they are."""
    text = clipped(str(label))
    return f"${text}$" if re.fullmatch(r"[A-Za-z]_(\w|\{[\w+-]+\})", text) else text


def _is_math(text: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == "$" and "_" in text


def _node_size(text: str) -> Size:
    width, _ = _text_size(text, _NODE_POINTS)
    return max(width + 14.0, 26.0), 24.0


def _label_size(operation: str) -> Size:
    width, _ = _text_size(short_label(operation), _LABEL_POINTS)
    return width + 12.0, 16.0


def _text_size(text: str, points: float) -> Size:
    """Width and height of a text in points, as the renderer will set it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=points)
    width, height, _ = text_to_path.get_text_width_height_descent(text, font, _is_math(text))
    return float(width), float(height)


def _safe(name: str) -> str:
    return re.sub(r"\W+", "-", name)
