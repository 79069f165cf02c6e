"""Agreement of two orders: against pairs counted by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from nas.benchmarks.agreement import agreement, resampled_kendall
from nas.benchmarks.correlation import kendall


def test_equal_orders_agree_fully_and_reversed_ones_not_at_all() -> None:
    scores = np.arange(30.0)
    same, reversed_ = agreement(scores, scores**3), agreement(scores, -scores)
    assert (same.kendall, same.spearman, same.kendall_top20) == (1.0, pytest.approx(1.0), 1.0)
    assert (same.interval, same.k, same.shared) == ((1.0, 1.0), 6, 6.0)
    assert (reversed_.kendall, reversed_.shared) == (-1.0, 0.0)


def test_tau_is_that_of_all_pairs_and_the_interval_holds_it() -> None:
    generator = np.random.default_rng(3)
    score = generator.normal(size=60)
    truth = score + generator.normal(size=60)
    found = agreement(score, truth)
    signs = [
        np.sign((score[i] - score[j]) * (truth[i] - truth[j]))
        for i, j in combinations(range(60), 2)
    ]
    assert found.kendall == pytest.approx(np.mean(signs))
    low, high = found.interval
    assert 0 < low < found.kendall < high < 1
    assert high - low < 0.4
    best = set(np.argsort(-score)[:10]) & set(np.argsort(-truth)[:10])
    assert (found.k, found.shared) == (10, len(best))
    assert agreement(score, truth) == found  # the same draws for the same seed


def test_resampling_counts_every_copy() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 8, (2, 20)).astype(float)  # with ties
    rows = generator.integers(20, size=(30, 20))
    counts = np.stack([np.bincount(row, minlength=20) for row in rows]).astype(float)
    expected = [kendall(one[row], other[row]) for row in rows]
    assert np.allclose(resampled_kendall(one, other, counts), expected)


def test_unrelated_orders_have_an_interval_around_zero_at_the_promised_rate() -> None:
    missed = 0
    for seed in range(100):
        score, truth = np.random.default_rng(seed).normal(size=(2, 25))
        low, high = agreement(score, truth, seed).interval
        missed += not low <= 0 <= high
    assert missed <= 15  # 5 expected; resampling 25 architectures is a little too sure


def test_a_constant_score_has_no_order_and_too_few_architectures_are_refused() -> None:
    found = agreement([1.0] * 12, range(12))
    assert math.isnan(found.kendall)
    assert all(map(math.isnan, found.interval))
    assert math.isnan(agreement(range(9), range(9)).kendall_top20)
    with pytest.raises(ValueError, match="take 5 or more"):
        agreement([1, 2, 3, 4], [1, 2, 3, 4])
