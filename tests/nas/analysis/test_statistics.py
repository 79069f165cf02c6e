from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nas.analysis.statistics import describe, differences, holm, signed_rank, t_interval

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)
SMALL = st.lists(st.integers(-4, 4), min_size=1, max_size=9)
PS = st.lists(st.floats(0, 1), max_size=8)


def by_enumeration(values: list[int]) -> Fraction:
    """Count, in exact arithmetic, the signs that are at least as far out as those that came."""
    sizes = [abs(value) for value in values]
    rank = {
        size: Fraction(sum(x < size for x in sizes) * 2 + sizes.count(size) + 1, 2)
        for size in sizes
    }
    ranks = [rank[abs(value)] for value in values if value]
    signs = [1 if value > 0 else -1 for value in values if value]

    def statistic(flips: tuple[int, ...]) -> Fraction:
        return abs(sum((s * r for s, r in zip(flips, ranks, strict=True)), Fraction(0)))

    outcomes = list(product((1, -1), repeat=len(ranks)))
    extreme = sum(statistic(flips) >= statistic(tuple(signs)) for flips in outcomes)
    return Fraction(extreme, len(outcomes))


@given(VALUES)
def test_the_interval_is_scipys(values: list[float]) -> None:
    found = t_interval(values)
    assert found is not None
    error = stats.sem(values)
    if error > 1e-9:
        wanted = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_the_interval_of_two_values_has_a_closed_form() -> None:
    """With one degree of freedom t is Cauchy: its 97.5 % quantile is tan(0.475 pi)."""
    found = t_interval([0.0, 2.0])
    assert found == pytest.approx((1 - math.tan(0.475 * math.pi), 1 + math.tan(0.475 * math.pi)))


def test_a_description_says_what_can_be_said() -> None:
    found = describe([3.0, 1.0, 2.0])
    assert (found.n, found.mean, found.sd, found.least, found.most) == (3, 2.0, 1.0, 1.0, 3.0)
    assert found.interval == t_interval([3.0, 1.0, 2.0])
    alone = describe([0.5])
    assert (alone.n, alone.mean, alone.sd, alone.interval) == (1, 0.5, None, None)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_statistics_of_nothing_or_of_no_number_are_refused(values: list[float]) -> None:
    for function in (describe, t_interval, signed_rank):
        with pytest.raises(ValueError, match="statistics need"):
            function(values)
    with pytest.raises(ValueError, match="statistics need"):
        differences(values, values)


def test_equal_steps_give_equal_differences() -> None:
    share = [k / 540 + 1e-10 * (-1) ** k for k in range(500, 540)]
    found = differences(share[3:], share[:-3])
    assert len({share[i + 3] - share[i] for i in range(37)}) > 1
    assert len(set(found)) == 1
    assert found[0] == pytest.approx(3 / 540, abs=1e-7)
    assert differences([0.0], [0.0]) == [0.0]
    assert differences([3e9, 5.0], [1e9, 0.0]) == [2e9, 0.0]
    assert differences([0.0123], [0.0123001]) == [-1e-7]
    with pytest.raises(ValueError, match="shorter"):
        differences([1.0, 2.0], [1.0])


@given(SMALL)
def test_p_is_that_of_all_signs_counted(values: list[int]) -> None:
    assert signed_rank(values) == pytest.approx(float(by_enumeration(values)), rel=1e-12)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=25, unique=True))
def test_p_without_ties_is_scipys_exact_one(sizes: list[int]) -> None:
    values = [size if index % 3 else -size for index, size in enumerate(sizes)]
    wanted = stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank(values) == pytest.approx(wanted, rel=1e-9)


def test_p_with_ties_and_zeros_is_scipys_permutation() -> None:
    values = [0, 0, 1, 1, -1, 2, 3, 3]
    every = stats.PermutationMethod(n_resamples=np.inf)
    wanted = stats.wilcoxon(values, zero_method="pratt", method=every).pvalue
    assert signed_rank(values) == pytest.approx(wanted, rel=1e-12)


def test_six_seeds_that_agree_are_the_fewest_that_can_convince() -> None:
    for n in range(1, 12):
        assert signed_rank([1.0 + i for i in range(n)]) == pytest.approx(2 / 2**n)
    assert signed_rank([1.0] * 5) > 0.05 > signed_rank([1.0] * 6)
    assert signed_rank([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) > 0.05
    assert signed_rank([0.0, 0.0]) == 1.0


@given(SMALL)
def test_p_knows_neither_direction_nor_scale_nor_order(values: list[int]) -> None:
    p = signed_rank(values)
    assert 0 < p <= 1
    assert signed_rank([-value for value in values]) == pytest.approx(p)
    assert signed_rank([3 * value for value in reversed(values)]) == pytest.approx(p)


def test_many_seeds_agree_with_the_normal_approximation() -> None:
    values = list(np.random.default_rng(0).normal(0.1, 1, 200))
    wanted = stats.wilcoxon(values, method="approx").pvalue
    assert signed_rank(values) == pytest.approx(wanted, abs=2e-3)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(PS)
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(ps: list[float]) -> None:
    found = holm(ps)
    assert len(found) == len(ps)
    for p, adjusted in zip(ps, found, strict=True):
        assert p <= adjusted <= min(1.0, len(ps) * p)
    by_p = [adjusted for _, adjusted in sorted(zip(ps, found, strict=True))]
    assert by_p == sorted(by_p)


@given(PS)
def test_holm_rejects_what_the_step_down_procedure_rejects(ps: list[float]) -> None:
    """Holm's own wording: go up the sorted p, stop at the first above 0.05 / (m - i)."""
    rejected = set()
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        if (len(ps) - place) * ps[index] >= 0.05:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(ps)) if p < 0.05} == rejected
