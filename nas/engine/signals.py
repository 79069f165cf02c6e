"""Stops that were asked for: a loop obeys them between steps, all other work at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from nas.errors import NasError


class InterruptedRunError(NasError):
    """The run was asked to stop; what it had done is on disk and the command can be repeated."""

    def __init__(self, number: int, where: str = "") -> None:
        self.exit_code = 128 + number
        place = f" {where}" if where else ""
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}{place}; the same command resumes it")


class Stopper:
    """While entered, SIGINT and SIGTERM end in InterruptedRunError.

    Inside `deferred` they only set ``requested``: state is whole between steps, and a loop wants to
    save it. Elsewhere files are whole or absent and work is simply done again, so nothing is waited
    for. A second SIGINT interrupts at once everywhere.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._deferring = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        # Only the main thread may set handlers; elsewhere the caller's own handling stays.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self.requested is not None and isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError(self.requested) from None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a stop wait until `check` is called."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def check(self, where: str) -> None:
        """Raise InterruptedRunError if a stop was asked for."""
        if self.requested is not None:
            raise InterruptedRunError(self.requested, where)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.requested == signal.SIGINT == number
        self.requested = number
        if again or not self._deferring:
            # No Exception, which the libraries that trace and draw would take for a failure.
            raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")
