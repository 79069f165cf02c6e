"""Runs between a metric and costs: those that none beats, and the volume that groups dominate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.analysis.matching import Entry
from nas.analysis.pareto import Point, front, hypervolume
from nas.errors import ConfigError, nearest

COSTS = {"macs": "macs", "parameters": "parameters", "search": "search_seconds"}


@dataclass(frozen=True)
class TradeOff:
    """The runs on the front over all groups, and the hypervolume of each group.

    Volumes are shares of the box between the worst and the best value of every objective over all
    runs, so they lie between 0 and 1 and depend on the runs compared.
    """

    costs: tuple[str, ...]
    front: tuple[Entry, ...]
    volumes: dict[str, float]


def trade_off(entries: Sequence[Entry], costs: str, higher_is_better: bool) -> TradeOff:
    """The trade-off between the test metric and costs, named with commas between them.

    Raises ConfigError for a cost that is not known, or that no run has.
    """
    names = tuple(name.strip() for name in costs.split(","))
    for name in names:
        if name not in COSTS:
            raise ConfigError(
                f"front: there is no cost {name!r}; costs are {', '.join(COSTS)}"
                f"{nearest(name, COSTS)}"
            )
    known = [e for e in entries if all(getattr(e, COSTS[name]) is not None for name in names)]
    if not known:
        raise ConfigError(f"front: no run has {' and '.join(names)}")
    sign = 1.0 if higher_is_better else -1.0
    points: list[Point] = [
        (sign * e.test, *(-float(getattr(e, COSTS[name])) for name in names)) for e in known
    ]
    ends = [(min(axis), max(axis)) for axis in zip(*points, strict=True)]
    scaled = [
        tuple((x - a) / (b - a) if b > a else 1.0 for x, (a, b) in zip(point, ends, strict=True))
        for point in points
    ]
    origin = (0.0,) * len(ends)
    volumes = {
        group: hypervolume(
            [p for p, e in zip(scaled, known, strict=True) if e.group == group], origin
        )
        for group in dict.fromkeys(e.group for e in known)
    }
    kept = sorted((known[place] for place in front(points)), key=lambda e: -sign * e.test)
    return TradeOff(names, tuple(kept), volumes)
