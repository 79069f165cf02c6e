"""Metrics of steps, read as late as the device they lie on asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Unread:
    """The metrics of one step, and its place in its epoch (from 0)."""

    step: int
    metrics: Mapping[str, Tensor]


class Readings:
    """Metrics in the order of their steps.

    Those on the CPU are due at once. Reading one from a GPU makes the host wait for all it was
    given to do, so these are due ``seconds`` after the last reading, or when asked for.
    """

    def __init__(self, seconds: float = 0.5) -> None:
        self.seconds = seconds
        self._unread: list[Unread] = []
        self._read_at = time.monotonic()

    def add(self, step: int, metrics: Mapping[str, Tensor]) -> None:
        """Note what a step found."""
        self._unread.append(Unread(step, metrics))

    @property
    def due(self) -> bool:
        """Whether to read now."""
        at_hand = all(not waits_for(v) for unread in self._unread for v in unread.metrics.values())
        return at_hand or time.monotonic() - self._read_at >= self.seconds

    def read(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Steps and values of all that was not read yet, each once."""
        while self._unread:
            unread = self._unread.pop(0)
            yield unread.step, {name: float(value) for name, value in unread.metrics.items()}
        self._read_at = time.monotonic()


def waits_for(value: Tensor) -> bool:
    """Whether reading ``value`` makes the host wait."""
    return value.device.type != "cpu"
