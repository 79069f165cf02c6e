from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from nas.analysis.comparison import Comparison, compare, sentence
from nas.analysis.matching import Entry

COMPARATIVE = re.compile(r"better|worse|higher|lower|above|below|best|beats", re.IGNORECASE)


def entries(group: str, values: list[float], seeds: list[int] | None = None) -> list[Entry]:
    numbered = zip(seeds or range(len(values)), values, strict=True)
    return [
        Entry(f"run/{group}-{seed}", group, seed, value, value / 2, 100.0 + seed, 7.0, 3.0)
        for seed, value in numbered
    ]


def both(one: list[float], other: list[float], higher: bool = True) -> Comparison:
    return compare([*entries("a", one), *entries("b", other)], higher)


def test_a_group_is_described() -> None:
    (group,) = compare(entries("a", [0.1, 0.2, 0.6], [4, 5, 9]), True).groups
    assert group.seeds == (4, 5, 9)
    assert group.test.mean == pytest.approx(0.3)
    assert group.validation is not None
    assert group.validation.mean == pytest.approx(0.15)
    assert (group.parameters, group.macs, group.search_seconds) == (106.0, 7.0, 3.0)


def test_what_no_run_knows_is_unknown() -> None:
    (group,) = compare([Entry("r", "a", 0, 0.5)], True).groups
    assert (group.validation, group.parameters, group.macs) == (None, None, None)
    assert group.test.interval is None


def test_pairs_are_those_of_common_seeds() -> None:
    one = entries("a", [0.5, 0.6, 0.7], [0, 1, 2])
    other = entries("b", [0.1, 0.3], [2, 0])
    (pair,) = compare([*one, *other], True).pairs
    assert pair.seeds == (0, 2)
    assert pair.difference is not None
    assert pair.difference.mean == pytest.approx(((0.5 - 0.3) + (0.7 - 0.1)) / 2)
    (apart,) = compare([*one, *entries("c", [0.1], [9])], True).pairs
    assert (apart.seeds, apart.difference, apart.p) == ((), None, None)


def test_p_and_its_correction_are_those_of_the_methods_named() -> None:
    random = np.random.default_rng(3)
    values = {name: list(random.normal(0.5, 0.1, 8)) for name in "abc"}
    found = compare([e for name in "abc" for e in entries(name, values[name])], True)
    wanted = [
        stats.wilcoxon(values[one], values[other], method="exact").pvalue
        for one, other in combinations("abc", 2)
    ]
    assert [pair.p for pair in found.pairs] == pytest.approx(wanted, rel=1e-9)
    least = min(wanted)
    first = found.pairs[wanted.index(least)]
    assert first.corrected == pytest.approx(min(1.0, 3 * least))


def test_fewer_than_six_seeds_get_no_test_and_no_comparative_word() -> None:
    found = both([0.9, 0.8, 0.95, 0.9, 0.85], [0.1, 0.2, 0.15, 0.1, 0.05])
    assert [pair.p for pair in found.pairs] == [None]
    text = sentence(found, "strategy", "accuracy")
    assert text == "5 paired seeds: no claim; 6 or more could"
    assert not COMPARATIVE.search(text)
    alone = sentence(both([0.9], [0.1]), "strategy", "accuracy")
    assert alone == "1 paired seed: no claim; 6 or more could"


def test_six_seeds_that_agree_allow_a_claim_in_the_right_direction() -> None:
    high, low = [0.91, 0.92, 0.93, 0.94, 0.95, 0.97], [0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    text = sentence(both(high, low), "strategy", "accuracy")
    assert text == ("a is better than b (test accuracy, 6 paired seeds, p corrected over 1 pair)")
    assert sentence(both(low, high), "strategy", "accuracy").startswith("b is better than a (")
    errors = both(high, low, higher=False)
    assert sentence(errors, "strategy", "mean_error").startswith("b is better than a (test mean e")


def test_six_seeds_that_disagree_show_no_difference() -> None:
    text = sentence(both([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]), "strategy", "accuracy")
    assert text.startswith("no difference is shown between a and b (test accuracy, 6 paired seeds")
    assert not COMPARATIVE.search(text)


def test_the_correction_can_take_a_claim_back() -> None:
    """Six agreeing seeds give p = 0.031: enough for one pair, not for the smallest of three."""
    groups = {"a": [0.9] * 6, "b": [0.8] * 6, "c": [0.9, 0.8, 0.9, 0.8, 0.9, 0.8]}
    found = compare([e for name in groups for e in entries(name, groups[name])], True)
    assert found.pairs[0].p == pytest.approx(2 / 64)
    assert found.pairs[0].corrected == pytest.approx(6 / 64)
    text = sentence(found, "strategy", "accuracy")
    assert text.startswith("no difference is shown between any of the 3 pairs")


def test_the_claims_of_a_table_are_one_sentence() -> None:
    groups = {
        "a": [0.9 + i / 1000 for i in range(9)],
        "b": [0.8 + i / 1000 for i in range(9)],
        "c": [0.8 + (i + (-1) ** i * (i + 1)) / 1000 for i in range(9)],
        "d": [0.5, 0.5],
    }
    found = compare([e for name in groups for e in entries(name, groups[name])], True)
    text = sentence(found, "strategy", "accuracy")
    assert text == (
        "a is better than b and c (test accuracy, 9 paired seeds, p corrected over 3 pairs); "
        "no other is shown; fewer than 6 paired seeds: a and d, b and d, c and d"
    )


def test_a_mean_against_its_ranks_claims_nothing() -> None:
    """Most seeds lie on one side by little, two on the other by much."""
    values = [0.01 + i / 1000 for i in range(20)] + [-1.0]
    found = both(values, [0.0] * 21)
    (pair,) = found.pairs
    assert pair.corrected is not None
    assert pair.corrected < 0.05
    assert pair.difference is not None
    assert pair.difference.mean < 0 < pair.direction
    assert pair.claim == 0
    assert "no difference is shown" in sentence(found, "strategy", "accuracy")


def test_one_group_is_not_compared() -> None:
    found = compare(entries("a", [0.5, 0.6]), True)
    assert found.pairs == ()
    assert sentence(found, "strategy", "accuracy") == (
        "all runs have strategy a: there is nothing to compare"
    )


def test_noise_is_called_better_at_most_as_often_as_the_level() -> None:
    """Under the hypothesis of no difference, at three groups and eight seeds."""
    random = np.random.default_rng(0)
    claims = 0
    for drawn in random.normal(size=(300, 3, 8)):
        rows = (entries(str(group), list(row)) for group, row in enumerate(drawn))
        found = compare([entry for row in rows for entry in row], True)
        claims += any(pair.claim for pair in found.pairs)
    assert claims <= 26  # at 5 % 15 are expected, and more than 26 come once in 390 such tests
