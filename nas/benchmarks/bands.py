"""Confidence bands of a mean over seeds, by resampling the seeds (Efron 1979)."""

from __future__ import annotations

import numpy as np

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
