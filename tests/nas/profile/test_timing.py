"""Interleaved timing, on a clock that moves only when told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nas.profile.timing import LEAST, MOST, WARM, drift_of, interleaved, row_of


class Clock:
    """Seconds that pass only where something runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, seconds: Callable[[], float]) -> Callable[[], None]:
        def run() -> None:
            self.log.append(name)
            self.now += seconds()

        return run


def test_known_times_are_found_and_all_take_turns() -> None:
    clock = Clock()
    runs = {name: clock.run(name, lambda s=s: s) for name, s in (("a", 0.002), ("b", 0.005))}
    told: list[int] = []
    timing = interleaved(
        runs, clock.run("r", lambda: 0.001), 8, clock=clock, tell=lambda: told.append(1)
    )
    assert {name: row.ms for name, row in timing.rows.items()} == pytest.approx({"a": 2, "b": 5})
    assert timing.drift == pytest.approx(0)
    assert len(told) == timing.rounds == 8
    rounds = clock.log[3 * WARM :]
    turns = [rounds[i : i + 3] for i in range(0, len(rounds), 3)]
    assert all(sorted(turn) == ["a", "b", "r"] and turn[0] == "r" for turn in turns)
    assert {tuple(turn) for turn in turns} == {("r", "a", "b"), ("r", "b", "a")}


def test_short_runs_are_repeated_within_a_reading() -> None:
    clock = Clock()
    short = clock.run("short", lambda: LEAST / 4)
    timing = interleaved({"short": short}, clock.run("r", lambda: LEAST / 99), 3, clock=clock)
    assert timing.rows["short"].ms == pytest.approx(1e3 * LEAST / 4)
    assert clock.log.count("short") == WARM + 3 * 4
    assert clock.log.count("r") == WARM + 3 * MOST


def test_a_machine_that_slows_down_shows_in_the_drift() -> None:
    clock = Clock()
    slow = clock.run("r", lambda: 0.001 * (1.5 if clock.now > 0.05 else 1))
    timing = interleaved({"a": clock.run("a", lambda: 0.004)}, slow, 30, clock=clock)
    assert timing.drift is not None
    assert timing.drift == pytest.approx(1 / 3)
    assert drift_of([1, 1, 1, 1, 1, 9]) == 4  # the last third's median is 5


def test_median_and_quartiles() -> None:
    row = row_of([4, 1, 3, 2, 5])
    assert (row.low, row.ms, row.high) == (2, 3, 4)
    assert row_of([1, 2]).high == 1.75
