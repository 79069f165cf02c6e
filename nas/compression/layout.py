"""Where the channels of a value are, and how far that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import fx

from nas.compression.slots import Ids, Slots


class Channels(NamedTuple):
    """The channels of a value: their axis, and their numbers along it."""

    axis: int
    ids: Ids


@dataclass(frozen=True)
class Mixed:
    """A value of which no axis holds channels that can be told apart."""

    reason: str


Layout = Channels | Mixed | None  # None: a constant


class Flow:
    """The channels of the values met so far in a traced network.

    Attributes:
        slots: numbers of the layers' channels, and what was found out about them.
        layouts: where the channels of each node's value are.
    """

    def __init__(self) -> None:
        self.slots = Slots()
        self.layouts: dict[fx.Node, Layout] = {}

    def of(self, value: Any) -> Layout:
        """The layout of an argument of a node."""
        return self.layouts[value] if isinstance(value, fx.Node) else None

    def fix(self, layout: Layout, reason: str) -> Mixed:
        """Never cut these; returns what comes out where they are not told apart any more."""
        if isinstance(layout, Channels):
            self.slots.fix(layout.ids, reason)
        return layout if isinstance(layout, Mixed) else Mixed(reason)
