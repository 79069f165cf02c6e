"""Statistics of paired runs: intervals, an exact signed-rank test, Holm's correction.

Means and intervals assume values that are roughly normal; the test does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.95
"""Confidence level of every interval."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Description:
    """What a handful of values looks like; ``sd`` and ``interval`` are None for fewer than two."""

    n: int
    mean: float
    sd: float | None
    interval: Interval | None
    least: float
    most: float


def describe(values: Sequence[float]) -> Description:
    """Count, mean, sample standard deviation, interval of the mean, least and greatest value.

    Raises:
        ValueError: there is no value, or one of them is not finite.
    """
    _check(values)
    sd = stdev(values) if len(values) > 1 else None
    return Description(len(values), fmean(values), sd, t_interval(values), min(values), max(values))


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Student's interval of the mean; None for fewer than two values.

    Raises:
        ValueError: there is no value, or one of them is not finite.
    """
    _check(values)
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


def differences(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """``one - other``, pair by pair, without the noise of single precision.

    Equal steps of an accuracy, such as two test images of 540, are then equal numbers, as a test
    that ranks them needs it: seven digits of the largest value are kept.

    Raises:
        ValueError: there is no pair, a partner is missing, or a value is not finite.
    """
    _check([*one, *other])
    size = max(map(abs, [*one, *other]))
    digits = 6 - math.floor(math.log10(size)) if size else 0
    return [round(float(a) - float(b), digits) for a, b in zip(one, other, strict=True)]


def signed_rank(values: Sequence[float]) -> float:
    """The exact two-sided p of Wilcoxon's signed-rank test that ``values`` lie around zero.

    Under the hypothesis every sign is a fair coin, whatever the sizes are. All outcomes of these
    coins are counted, also with ties (which share their mean rank) and zeros (Pratt 1959: they
    take the lowest ranks and then drop out). Without any difference it is 1.

    Raises:
        ValueError: there is no value, or one of them is not finite.
    """
    import numpy as np

    _check(values)
    ranks = _doubled_ranks([abs(value) for value in values])
    taken = [(rank, value > 0) for rank, value in zip(ranks, values, strict=True) if value]
    total = sum(rank for rank, _ in taken)
    positive = sum(rank for rank, up in taken if up)
    # chances[s] is the probability that the positive ranks sum to s.
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank, _ in taken:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: total + 1 - rank]
        chances = (chances + moved) / 2
    distance = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(chances[distance >= abs(2 * positive - total)].sum()))


def direction(values: Sequence[float]) -> int:
    """To which side the signed ranks of ``values`` lie: 1, -1, or 0 where they balance."""
    ranks = _doubled_ranks([abs(value) for value in values])
    total = sum(
        rank if value > 0 else -rank for rank, value in zip(ranks, values, strict=True) if value
    )
    return (total > 0) - (total < 0)


def _doubled_ranks(sizes: Sequence[float]) -> list[int]:
    """Twice the mean rank of each value, counted from 1: whole numbers, also where values tie."""
    return [
        sum(other < size for other in sizes) + sum(other <= size for other in sizes) + 1
        for size in sizes
    ]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's correction (1979): adjusted p in the order given, none below its own p.

    To reject where the adjusted p is below 0.05 keeps the chance of any wrong rejection among all
    of them below 0.05, however the tests depend on each other.
    """
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    adjusted = [0.0] * len(ps)
    least = 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = least
    return adjusted


def _check(values: Sequence[float]) -> None:
    if not values:
        raise ValueError("statistics need at least one value")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"statistics need finite values, got {list(values)}")
