"""A progress line for what turns out to take long."""

from __future__ import annotations

import time
from contextlib import ExitStack

from nas import console

PATIENCE = 1.0
"""Seconds without a line: most data are read before."""


class LateProgress:
    """Counts steps from the start and shows them once a second has passed."""

    def __init__(self, name: str, total: int, stack: ExitStack) -> None:
        """Keep what is counted; the line, if there is one, ends with ``stack``."""
        self._name, self._total, self._stack = name, total, stack
        self._done = 0
        self._began = time.monotonic()
        self._task: console.Task | None = None

    def advance(self) -> None:
        """Count one more step."""
        self._done += 1
        if self._task is not None:
            self._task.advance()
        elif time.monotonic() - self._began > PATIENCE:
            bars = self._stack.enter_context(console.Progress())
            self._task = bars.task(self._name, self._total, self._done)
