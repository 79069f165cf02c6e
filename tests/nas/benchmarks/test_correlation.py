from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.benchmarks.correlation import kendall, mean_ranks, precision_at, spearman, top_kendall

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40)


def brute_kendall(a: list[int], b: list[int]) -> float:
    score = tied_a = tied_b = total = 0
    for i, j in combinations(range(len(a)), 2):
        x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
        score, total = score + x * y, total + 1
        tied_a, tied_b = tied_a + (x == 0), tied_b + (y == 0)
    scale = (total - tied_a) * (total - tied_b)
    return score / math.sqrt(scale) if scale else math.nan


@given(PAIRS)
def test_kendall_is_what_counting_all_pairs_gives(pairs: list[tuple[int, int]]) -> None:
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    assert kendall(a, b) == pytest.approx(brute_kendall(a, b), nan_ok=True)


@given(PAIRS)
def test_spearman_is_the_correlation_of_ranks(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, float).T
    ranks = [[sum(y < x for y in v) + (sum(y == x for y in v) + 1) / 2 for x in v] for v in (a, b)]
    assert mean_ranks(a).tolist() == ranks[0]
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert spearman(a, b) == pytest.approx(np.corrcoef(ranks)[0, 1])
    else:
        assert math.isnan(spearman(a, b))


@given(PAIRS, st.integers(1, 40))
def test_precision_is_the_mean_over_orders_of_ties(pairs: list[tuple[int, int]], k: int) -> None:
    pairs = pairs[:6]
    k = min(k, len(pairs))
    score, truth = [p[0] for p in pairs], [p[1] for p in pairs]
    edge = sorted(truth)[-k]
    found = []
    for order in permutations(range(len(pairs))):
        top = sorted(order, key=lambda i: -score[i])[:k]
        found.append(sum(truth[i] >= edge for i in top) / k)
    assert precision_at(score, truth, k) == pytest.approx(np.mean(found))


def test_the_top_share_is_taken_by_the_truth() -> None:
    truth = np.arange(10.0)
    score = np.array([9, 8, 7, 6, 5, 4, 3, 2, 0, 1.0])
    assert kendall(score, truth) < 0
    assert top_kendall(score, truth, 0.2) == 1.0


@pytest.mark.parametrize("values", [([1.0], [1.0]), ([1, math.nan], [1, 2]), ([1, 2], [1, 2, 3])])
def test_values_that_cannot_be_ranked_are_refused(values: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="rank statistics need"):
        kendall(*values)
