"""How well one score orders architectures by another: rank correlations and precision at the top.

All of them take two sequences (n,) of finite numbers and treat larger as better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ranks = NDArray[np.int64]


def kendall(one: ArrayLike, other: ArrayLike) -> float:
    """Kendall's tau-b, by merge sort in O(n log n); NaN where one of them is constant.

    ``tau = (P - Q) / sqrt((N - T1) (N - T2))`` with P concordant and Q discordant of N pairs, T1
    and T2 the pairs tied in one of them (Kendall 1945).
    """
    a, b = _dense(one), _dense(other)
    _check(a, b)
    total = len(a) * (len(a) - 1) // 2
    tied_a, tied_b = _ties(a), _ties(b)
    tied_both = _ties(a * (b.max(initial=0) + 1) + b)
    discordant = _inversions(b[np.lexsort((b, a))])
    concordant = total - tied_a - tied_b + tied_both - discordant
    scale = float(total - tied_a) * float(total - tied_b)
    return (concordant - discordant) / scale**0.5 if scale else float("nan")


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rho: the correlation of mean ranks; NaN where one of them is constant."""
    a, b = mean_ranks(one), mean_ranks(other)
    _check(a, b)
    a, b = a - a.mean(), b - b.mean()
    scale = float((a @ a) * (b @ b)) ** 0.5
    return float(a @ b) / scale if scale else float("nan")


def top_kendall(score: ArrayLike, truth: ArrayLike, share: float = 0.2) -> float:
    """Kendall's tau-b over the best ``share`` of architectures by ``truth``; ties at its edge stay.

    NaN where fewer than two are among them.
    Raises ValueError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share must lie above 0 and at most at 1, got {share}")
    real = np.asarray(truth, float)
    count = max(1, round(share * len(real)))
    best = real >= np.sort(real)[-count]
    if best.sum() < 2:
        return float("nan")
    return kendall(np.asarray(score, float)[best], real[best])


def precision_at(score: ArrayLike, truth: ArrayLike, k: int) -> float:
    """The share of the k best by ``score`` that are among the k best by ``truth``.

    Ties in the score count by their mean over all orders; ties in the truth at place k all count
    as best. Raises ValueError for k outside 1..n.
    """
    guess, real = np.asarray(score, float), np.asarray(truth, float)
    _check(guess, real)
    if not 1 <= k <= len(real):
        raise ValueError(f"k must lie in 1..{len(real)}, got {k}")
    best = real >= np.sort(real)[-k]
    edge = np.sort(guess)[-k]
    sure, tied = guess > edge, guess == edge
    return float(best[sure].sum() + (k - sure.sum()) * best[tied].mean()) / k


def mean_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1; equal values share their mean rank."""
    dense = _dense(values)
    counts = np.bincount(dense)
    found: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[dense]
    return found


def _dense(values: ArrayLike) -> Ranks:
    real = np.asarray(values, float)
    if real.ndim != 1 or len(real) < 2 or not np.isfinite(real).all():
        raise ValueError("rank statistics need at least two finite values in one row")
    return np.unique(real, return_inverse=True)[1].astype(np.int64)


def _check(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    if len(one) != len(other):
        raise ValueError(f"rank statistics need pairs, got {len(one)} and {len(other)} values")


def _ties(values: Ranks) -> int:
    counts = np.unique(values, return_counts=True)[1].astype(object)
    return int((counts * (counts - 1) // 2).sum())


def _inversions(values: Ranks) -> int:
    """The pairs i < j with values[i] > values[j], by merging sorted blocks of doubling width."""
    n = 1 << (len(values) - 1).bit_length()
    high = int(values.max()) + 1
    row = np.full(n, high, dtype=np.int64)  # padding behind all others is in no inversion
    row[: len(values)] = values
    found, width = 0, 1
    while width < n:
        blocks = row.reshape(-1, 2, width)
        shift = np.arange(len(blocks), dtype=np.int64)[:, None] * (high + 1)
        left, right = (blocks[:, 0] + shift).ravel(), (blocks[:, 1] + shift).ravel()
        not_above = np.searchsorted(left, right, side="right").reshape(len(blocks), width)
        ends = (np.arange(len(blocks)) + 1)[:, None] * width
        found += int((ends - not_above).sum())
        row = np.sort(blocks.reshape(-1, 2 * width), axis=1).ravel()
        width *= 2
    return found
