"""The grid, ticks and lines that all charts have."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from nas.analysis.svg import FONT, color

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def frame(axes: Axes, sides: Collection[str] = ("bottom",)) -> None:
    """A light grid behind the data, small labels, and lines at ``sides`` alone."""
    axes.grid(visible=True, color=color("grid"), linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=color("ink"))
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontfamily(FONT)
    for side, spine in axes.spines.items():
        spine.set_visible(side in sides)
        spine.set_color(color("muted"))
