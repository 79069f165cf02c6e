"""Line charts of what was measured over the epochs, and heat maps of the decisions' weights."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nas.analysis.cells import cell_title
from nas.analysis.frame import frame
from nas.analysis.operations import clipped, plain_name, short_label
from nas.analysis.svg import FONT, color, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[int, float]]
Matrix = Sequence[Sequence[float]]
HeatMaps = Mapping[str, tuple[Sequence[str], Sequence[str], Matrix]]
"""For each cell the names of its edges, of its operations, and weights (edges, operations)."""

_WIDTH, _HEIGHT = 4.6, 2.55  # inches
_LINES = (
    ("line-separable", "solid"),
    ("line-dilated", "dashed"),
    ("line-pool", "dashdot"),
    ("line-skip", "dotted"),
    ("line-conv", "solid"),
    ("line-other", "dashed"),
)
_TITLES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "entropy": "entropy of the decisions (nats)",
    "skip": "skip connections in the derived cell",
    "lr": "learning rate",
    "derived": "cost of the derived architecture / limit",
    "multiplier": "weight of each limit in the loss",
    "mse": "mean squared error",
    "psnr": "PSNR (dB)",
    "f1": "F1 of a sample's labels",
    "sample_iou": "intersection over union",
}
_MOST_LINES, _LEGEND_COLUMNS = 6, 4


@dataclass(frozen=True)
class Chart:
    """What one chart shows: lines over epochs counted from 1, and where phases begin."""

    title: str
    lines: dict[str, Points]
    phases: tuple[tuple[int, str], ...] = field(default=())

    @property
    def description(self) -> str:
        """The chart in one sentence: each line with its last value."""
        ends = [f"{name} ends at {points[-1][1]:.4g}" for name, points in self.lines.items()]
        return f"{self.title} over epochs: {', '.join(ends)}"


def charts_of(rows: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """Arrange the rows of ``metrics.jsonl`` into charts.

    Search: one chart for each kind of metric, the part before the slash. Retraining: one chart
    for each metric, with a line for each network. Rows written twice (a resumed epoch) count
    once; several rows of one epoch are averaged; what is not a finite number is left out.
    """
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if isinstance(row.get("metrics"), Mapping):
            stages.setdefault(str(row.get("stage", "search")), []).append(row)
    found: dict[str, tuple[dict[str, Points], tuple[tuple[int, str], ...]]] = {}
    for stage, content in stages.items():
        series, phases = _series(content)
        _, _, network = stage.partition("/")
        for name, points in series.items():
            kind, _, part = name.partition("/")
            marks: tuple[tuple[int, str], ...] = () if network else phases
            if network:
                detail = f" ({part})" if part else ""
                title, line = f"retraining: {_title_of(kind)}{detail}", network
            else:
                title, line = f"{stage}: {_title_of(kind)}", part or kind
            found.setdefault(title, ({}, marks))[0][line] = points
    return [Chart(title, lines, marks) for title, (lines, marks) in found.items()]


def inline_charts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the charts of a run's metrics as ``<svg>`` elements for one HTML page."""
    charts = charts_of(rows)
    return [inline_svg(line_figure(c), f"chart{i}", c.description) for i, c in enumerate(charts)]


def inline_heat_maps(weights: HeatMaps) -> list[str]:
    """Return heat maps of decisions' weights as ``<svg>`` elements for one HTML page."""
    found = []
    for index, (cell, (edges, operations, matrix)) in enumerate(weights.items()):
        if len(edges) and len(operations):
            figure = heat_figure(cell_title(cell), edges, operations, matrix)
            counts = f"{len(edges)} edges and {len(operations)} operations"
            words = f"weights of {counts}, {cell_title(cell)}"
            found.append(inline_svg(figure, f"heat{index}", words))
    return found


def line_figure(chart: Chart) -> "Figure":
    """Draw a chart; of more than six lines the first six are drawn and the title says so."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = list(chart.lines.items())[:_MOST_LINES]
    rows = -(-len(shown) // _LEGEND_COLUMNS) if len(shown) > 1 else 0
    top = 0.36 + 0.18 * rows + 0.16 * bool(chart.phases)
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0.125, 0.15, 0.85, 0.85 - top / _HEIGHT))
    for (name, points), (ink, style) in zip(shown, _LINES, strict=False):
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=color(ink),
            linestyle=style,
            linewidth=1.5,
            marker="o" if len(points) < 3 else None,
            markersize=4,
            label=clipped(name, 18),
        )
    _scale(axes, [point for _, points in shown for point in points])
    _stretch(axes, [*(x for _, points in shown for x, _ in points), *(x for x, _ in chart.phases)])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    rest = len(chart.lines) - len(shown)
    title = chart.title + (f" ({rest} more lines not drawn)" if rest else "")
    axes.set_facecolor("none")
    frame(axes)
    _title(axes, title)
    axes.set_xlabel("epoch", fontsize=7.5, family=FONT, color=color("muted"), labelpad=2)
    _phases(axes, chart.phases)
    if rows:
        _legend(axes, 1 + 0.16 * bool(chart.phases) / (_HEIGHT * axes.get_position().height))
    return figure


def heat_figure(
    title: str, edges: Sequence[str], operations: Sequence[str], matrix: Matrix
) -> "Figure":
    """Draw the weights of one cell's decisions: a row per edge, a column per operation.

    Args:
        title: written above.
        edges: names of the rows.
        operations: names of the columns.
        matrix: weights of shape (edges, operations), 0 to 1.
    """
    from matplotlib.figure import Figure

    rows, columns = len(edges), len(operations)
    names = [plain_name(edge) for edge in edges]
    left = 0.25 + 0.075 * max((len(name) for name in names), default=1)
    width, height = left + 0.62 * columns + 0.1, 0.75 + 0.24 * rows
    figure = Figure(figsize=(width, height))
    box = (left / width, 0.05 / height, 0.62 * columns / width, 0.24 * rows / height)
    axes = figure.add_axes(box)
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            _tile(axes, j, i, float(value))
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.set_xticks([j + 0.5 for j in range(columns)])
    axes.set_xticklabels([_two_lines(short_label(name)) for name in operations])
    axes.set_yticks([i + 0.5 for i in range(rows)])
    axes.set_yticklabels(names)
    axes.xaxis.tick_top()
    axes.set_facecolor("none")
    frame(axes)
    _title(axes, clipped(title, 80))
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _title_of(kind: str) -> str:
    return _TITLES.get(kind, kind.replace("_", " "))


def _series(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Points], tuple[tuple[int, str], ...]]:
    """Values by metric and epoch, and the first epoch of every phase where there are several."""
    places: dict[tuple[str, Any], int] = {}
    values: dict[str, dict[int, dict[Any, float]]] = {}
    for row in rows:
        phase = str(row.get("phase", ""))
        place = places.setdefault((phase, row.get("epoch")), len(places) + 1)
        for name, value in row["metrics"].items():
            if isinstance(value, int | float) and math.isfinite(value):
                steps = values.setdefault(str(name), {}).setdefault(place, {})
                steps[row.get("step")] = float(value)
    series = {
        name: sorted((place, sum(v.values()) / len(v)) for place, v in epochs.items())
        for name, epochs in values.items()
    }
    starts: dict[str, int] = {}
    for (phase, _), place in places.items():
        starts.setdefault(phase, place)
    phases = tuple((place, phase) for phase, place in starts.items())
    return series, phases if len(phases) > 1 else ()


def _scale(axes: "Axes", points: Sequence[tuple[int, float]]) -> None:
    """Make nearly constant lines look constant: the axis never spans less than a thousandth."""
    values = [y for _, y in points] or [0.0, 1.0]
    low, high = min(values), max(values)
    room = max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-12)
    axes.set_ylim((low + high) / 2 - 0.56 * room, (low + high) / 2 + 0.56 * room)
    if max(abs(low), abs(high)) < 0.01:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        axes.yaxis.get_offset_text().set(fontsize=7, family=FONT, color=color("muted"))


def _stretch(axes: "Axes", epochs: Sequence[int]) -> None:
    """Make room for all epochs, counted from 1."""
    last = max(epochs, default=1)
    axes.set_xlim(0.5, last + max(0.5, 0.02 * last))


def _phases(axes: "Axes", phases: Iterable[tuple[int, str]]) -> None:
    """Mark where each phase begins, its name in a row of its own above the lines."""
    marks = list(phases)
    left, right = axes.get_xlim()
    ends = [*(place - 0.5 for place, _ in marks), right][1:]
    for (place, name), end in zip(marks, ends, strict=True):
        if place > 1:
            axes.axvline(place - 0.5, color=color("muted"), linewidth=0.8, linestyle=(0, (2, 2)))
        if end - place + 0.5 < 0.013 * (len(name) + 2) * (right - left):
            continue  # its name would run into the next one
        axes.annotate(
            clipped(name, 14),
            (place - 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7,
            family=FONT,
            color=color("muted"),
        )


def _title(axes: "Axes", title: str) -> None:
    """Write above everything, the same distance from the edge in pictures of every size."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    left, top = 0.06 / width, 1 - 0.2 / height
    figure.text(left, top, title, fontsize=9.5, family=FONT, color=color("ink"))


def _legend(axes: "Axes", bottom: float) -> None:
    from matplotlib.font_manager import FontProperties

    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.015, bottom),
        ncols=_LEGEND_COLUMNS,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0,
        columnspacing=1.2,
        handlelength=2.2,
        handletextpad=0.5,
        labelspacing=0.2,
        labelcolor=color("ink"),
        prop=FontProperties(family=FONT, size=7.5),
    )


def _tile(axes: "Axes", column: int, row: int, value: float) -> None:
    """One weight: the darker the larger, with its number; colors do not depend on the page."""
    from matplotlib.patches import Rectangle

    known = math.isfinite(value)
    share = min(max(value, 0.0), 1.0) if known else 0.0
    light, dark = (0.94, 0.96, 0.985), (0.03, 0.25, 0.48)
    shade = tuple(a + (b - a) * share**0.7 for a, b in zip(light, dark, strict=True))
    axes.add_patch(
        Rectangle((column + 0.03, row + 0.06), 0.94, 0.88, facecolor=shade, edgecolor="none")
    )
    axes.text(
        column + 0.5,
        row + 0.52,
        f"{value:.2f}" if known else "-",
        ha="center",
        va="center",
        fontsize=7,
        family=FONT,
        color="#ffffff" if share > 0.35 else "#15202b",
    )


def _two_lines(text: str) -> str:
    return text.replace(" ", "\n", 1)
