"""Curves of regret over queries with bands, one line for each search method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.analysis.frame import frame
from nas.analysis.svg import FONT, color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = (
    ("line-separable", "solid"),
    ("line-dilated", "dashed"),
    ("line-pool", "dashdot"),
    ("line-skip", "dotted"),
    ("line-conv", "solid"),
    ("line-other", "dashed"),
)


@dataclass(frozen=True)
class Curve:
    """Mean and band of one method after ``start``, ``start + 1``, ... queries."""

    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    start: int = 1

    @property
    def queries(self) -> range:
        """The number of queries at each point."""
        return range(self.start, self.start + len(self.mean))


def regret_figure(title: str, unit: str, curves: Mapping[str, Curve]) -> Figure:
    """Draw all curves over queries, the regret on a logarithmic axis where none of it is 0."""
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    figure = Figure(figsize=(5.6, 3.3))
    axes = figure.add_axes((0.11, 0.14, 0.86, 0.74))
    for place, (name, curve) in enumerate(curves.items()):
        ink, style = _LINES[place % len(_LINES)]
        x, tint = curve.queries, color(ink)
        axes.fill_between(x, curve.low, curve.high, color=tint, alpha=0.15, linewidth=0)
        axes.plot(x, curve.mean, color=tint, linestyle=style, linewidth=1.4, label=name)
    if all(min(curve.low) > 0 for curve in curves.values()):
        axes.set_yscale("log")
    frame(axes)
    small = FontProperties(family=FONT, size=7.5)
    axes.set_xlabel("queries", fontproperties=small, color=color("muted"))
    axes.set_ylabel(unit, fontproperties=small, color=color("muted"))
    axes.legend(frameon=False, prop=small, labelcolor=color("ink"))
    figure.text(0.02, 0.94, title, fontsize=9, family=FONT, color=color("ink"))
    return figure
