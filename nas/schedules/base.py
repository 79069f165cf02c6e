"""The contract of a schedule."""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """Sets knobs as a function of the epoch alone, so that a resumed run needs no state for it."""

    def on_epoch(self, epoch: int) -> None:
        """Called before epoch ``epoch`` (from 0)."""
        ...
