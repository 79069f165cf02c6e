"""Interleaved timing: all candidates in every round, beside a reference that shows drift."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from nas.costs.latency_table import Row

KeyT = TypeVar("KeyT")
Clock = Callable[[], float]  # seconds
Run = Callable[[], object]
Tell = Callable[[], None]
LEAST = 3e-4  # seconds that one reading covers at least; shorter runs are repeated inside it
MOST = 30
WARM = 3  # runs of each candidate before anything is read


@dataclass(frozen=True)
class Timing(Generic[KeyT]):
    """What was read, in ms.

    Attributes:
        rows: median and quartiles of each candidate.
        drift: the largest deviation of the reference's median in a third of the rounds from that
            of all rounds, as a share; None for times that were given.
        rounds: how many readings there are of each.
        reference: the reference's median in ms; None for times that were given.
    """

    rows: Mapping[KeyT, Row]
    drift: float | None
    rounds: int
    reference: float | None = None


def interleaved(
    runs: Mapping[KeyT, Run],
    reference: Run,
    rounds: int,
    *,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    tell: Tell = lambda: None,
) -> Timing[KeyT]:
    """Time every candidate once a round, in an order drawn anew, each round after the reference.

    Args:
        runs: the candidates.
        reference: something fixed, whose time only changes with the machine.
        rounds: how many; at least 3.
        seed: of the orders.
        clock: in seconds.
        tell: called after each round.
    """
    order, generator = list(runs), random.Random(seed)
    with _no_garbage_collection():
        counts = {key: _warmed(run, clock) for key, run in runs.items()}
        fixed = _warmed(reference, clock)
        found: dict[KeyT, list[float]] = {key: [] for key in runs}
        fixed_readings: list[float] = []
        for _ in range(rounds):
            fixed_readings.append(_read(reference, fixed, clock))
            generator.shuffle(order)
            for key in order:
                found[key].append(_read(runs[key], counts[key], clock))
            tell()
    rows = {key: row_of(values) for key, values in found.items()}
    return Timing(rows, drift_of(fixed_readings), rounds, median(fixed_readings))


def row_of(values: Sequence[float]) -> Row:
    """Median and quartiles of readings in ms."""
    return Row(median(values), quantile(values, 0.25), quantile(values, 0.75))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the readings lies, linear between two of them."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def drift_of(readings: Sequence[float]) -> float:
    """The largest deviation of a third's median from the median of all, as a share of that."""
    whole, third = median(readings), max(1, len(readings) // 3)
    parts = [readings[:third], readings[third:-third] or readings, readings[-third:]]
    return max(abs(median(part) - whole) for part in parts) / whole if whole else 0.0


def _warmed(run: Run, clock: Clock) -> int:
    """Run a few times; returns how many runs one reading takes."""
    for _ in range(WARM):
        began = clock()
        run()
        seconds = clock() - began
    return min(MOST, max(1, math.ceil(LEAST / seconds))) if seconds > 0 else MOST


def _read(run: Run, count: int, clock: Clock) -> float:
    """Milliseconds of one run, the mean of ``count`` in a row."""
    began = clock()
    for _ in range(count):
        run()
    return (clock() - began) * 1e3 / count


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
