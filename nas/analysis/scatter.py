"""Two scores of the same architectures as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.analysis.frame import frame
from nas.analysis.svg import FONT, color

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scatter_figure(
    title: str, labels: tuple[str, str], x: Sequence[float], y: Sequence[float]
) -> Figure:
    """Draw a point for each architecture; ``labels`` name the axes."""
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    figure = Figure(figsize=(4.4, 3.6))
    axes = figure.add_axes((0.15, 0.13, 0.81, 0.76))
    axes.scatter(x, y, s=14, color=color("line-separable"), alpha=0.75, linewidths=0)
    frame(axes, ("bottom", "left"))
    small = FontProperties(family=FONT, size=7.5)
    axes.set_xlabel(labels[0], fontproperties=small, color=color("muted"))
    axes.set_ylabel(labels[1], fontproperties=small, color=color("muted"))
    figure.text(0.02, 0.95, title, fontsize=9, family=FONT, color=color("ink"))
    return figure
