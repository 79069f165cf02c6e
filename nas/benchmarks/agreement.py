"""How far one score's order of architectures agrees with another's, with what chance allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nas.benchmarks.bands import RESAMPLES
from nas.benchmarks.correlation import kendall, precision_at, spearman, top_kendall
from nas.benchmarks.table import Values

Interval = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """Rank statistics of n architectures; larger scores are better.

    Attributes:
        n: architectures.
        kendall: tau-b; NaN where a score is constant, as are the others then.
        interval: of tau, 95 %, from resampled architectures.
        spearman: rho.
        kendall_top20: tau-b among the best fifth by the second score; NaN for fewer than ten.
        k: how many the next one looks at: 10, or a fifth where there are fewer than 50.
        shared: how many of the k best by one are among the k best by the other.
    """

    n: int
    kendall: float
    interval: Interval
    spearman: float
    kendall_top20: float
    k: int
    shared: float


def agreement(score: ArrayLike, truth: ArrayLike, seed: int = 0) -> Agreement:
    """The statistics of two scores (n,) of the same architectures.

    Raises ValueError for fewer than five of them, or values that are not finite.
    """
    one, other = np.asarray(score, float), np.asarray(truth, float)
    n = len(one)
    if n < 5:
        raise ValueError(f"ranks of {n} architectures say nothing; take 5 or more")
    k = min(10, max(1, n // 5))
    return Agreement(
        n,
        kendall(one, other),
        _interval(one, other, seed),
        spearman(one, other),
        top_kendall(one, other) if n >= 10 else float("nan"),
        k,
        k * precision_at(one, other, k),
    )


def _interval(one: Values, other: Values, seed: int, level: float = 0.95) -> Interval:
    """The percentile interval of tau over resampled architectures (Efron 1979)."""
    n = len(one)
    drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    counts = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(float)
    taus = resampled_kendall(one, other, counts)
    taus = taus[np.isfinite(taus)]
    if not len(taus):
        return float("nan"), float("nan")
    low, high = np.quantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_kendall(one: Values, other: Values, counts: Values) -> Values:
    """Kendall's tau-b (draws,) where architecture i occurs ``counts[d, i]`` times in draw d.

    Every pair i, j counts ``counts[d, i] * counts[d, j]`` times; an architecture and its own copies
    are tied in both scores.
    """
    signs = [np.sign(values[:, None] - values[None, :]) for values in (one, other)]

    def pairs(matrix: Values) -> Values:
        found: Values = ((counts @ matrix) * counts).sum(1) / 2
        return found

    untied = pairs(np.abs(signs[0])) * pairs(np.abs(signs[1]))
    with np.errstate(invalid="ignore"):
        tau: Values = pairs(signs[0] * signs[1]) / np.sqrt(untied)
    return tau
