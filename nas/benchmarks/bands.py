"""Confidence bands by resampling: of a mean over seeds, of a statistic of pairs (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from nas.benchmarks.table import Values

RESAMPLES = 1000


def bootstrap(values: Values, level: float = 0.95, seed: int = 0) -> tuple[Values, Values]:
    """The percentile interval of the mean over the first axis, (...), (...).

    Args:
        values: (seeds, ...).
        level: share of the resampled means that lies inside.
        seed: of the resampling; equal values give equal intervals.

    Raises:
        ValueError: there is no seed.
    """
    count = len(values)
    if not count:
        raise ValueError("an interval needs at least one seed")
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    weights = np.stack([np.bincount(row, minlength=count) for row in drawn]) / count
    means = weights @ values.reshape(count, -1)
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    low, high = ends.reshape(2, *values.shape[1:])
    return low, high


def bootstrap_pairs(
    statistic: Callable[[ArrayLike, ArrayLike], float],
    one: ArrayLike,
    other: ArrayLike,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of a statistic of pairs, by resampling the pairs.

    Resamples of which it is NaN, such as constant ones, are left out; NaN where none is left.

    Args:
        statistic: of two sequences (n,), such as a rank correlation.
        one: the first of every pair, (n,).
        other: the second, (n,).
        level: share of the resampled statistics that lies inside.
        seed: of the resampling.
    """
    a, b = np.asarray(one, float), np.asarray(other, float)
    drawn = np.random.default_rng(seed).integers(len(a), size=(RESAMPLES, len(a)))
    found = np.array([statistic(a[row], b[row]) for row in drawn])
    found = found[~np.isnan(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
