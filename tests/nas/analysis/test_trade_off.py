from __future__ import annotations

import pytest

from nas.analysis.comparison import compare, genotype_distance
from nas.analysis.latex import tabular
from nas.analysis.matching import Entry
from nas.analysis.trade_off import trade_off
from nas.errors import ConfigError


def entry(group: str, seed: int, test: float, macs: float | None, **more: float) -> Entry:
    return Entry(f"{group}{seed}", group, seed, test, macs=macs, **more)


RUNS = [entry("a", 0, 0.9, 30.0), entry("a", 1, 0.5, 10.0), entry("b", 0, 0.7, 20.0)]


def test_the_front_has_what_is_cheaper_or_better_and_volumes_are_shares_of_the_box() -> None:
    beaten = entry("b", 1, 0.6, 25.0)
    found = trade_off([*RUNS, beaten], "macs", higher_is_better=True)
    assert [e.run for e in found.front] == ["a0", "b0", "a1"]
    # in the unit box a0 is at (1, 0) and a1 at (0, 1): nothing between them and the origin
    assert found.volumes == {"a": 0.0, "b": pytest.approx(0.5 * 0.5)}


def test_less_may_be_better_and_runs_without_the_cost_are_left_out() -> None:
    found = trade_off([*RUNS, entry("c", 0, 0.1, None)], "macs", higher_is_better=False)
    assert [e.run for e in found.front] == ["a1"]
    assert set(found.volumes) == {"a", "b"}


@pytest.mark.parametrize(
    ("costs", "told"),
    [("latency", "there is no cost 'latency'"), ("search", "no run has search")],
)
def test_costs_that_are_not_there_are_told(costs: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        trade_off(RUNS, costs, higher_is_better=True)


def test_the_best_of_k_is_chosen_by_validation_and_chance_stands_beside_it() -> None:
    runs = [
        entry("a", 0, 0.9, None, validation=0.5, random=0.8),
        entry("a", 1, 0.7, None, validation=0.6, random=0.6),
    ]
    (more,) = compare(runs, higher_is_better=True).groups
    assert more.best is not None
    assert (more.best.run, more.best.of, more.best.test) == ("a1", 2, 0.7)
    assert more.random is not None
    assert more.random.mean == pytest.approx(0.7)
    (less,) = compare(runs, higher_is_better=False).groups
    assert less.best is not None
    assert less.best.run == "a0"
    (alone,) = compare(runs[:1], higher_is_better=True).groups
    assert alone.best is None  # one run is no choice


def test_the_distance_of_genotypes_is_the_share_of_decisions_that_differ() -> None:
    one, other, third = {"x": 1, "y": 2}, {"x": 1, "y": 3}, {"x": 1, "z": 2}
    assert genotype_distance([one, other]) == 0.5
    assert genotype_distance([one, third]) == pytest.approx(2 / 3)
    assert genotype_distance([one, other, third]) == pytest.approx((0.5 + 2 / 3 + 2 / 3) / 3)
    assert genotype_distance([one]) is None


def test_a_table_for_a_paper_prints_special_characters() -> None:
    text = tabular(("a_b", "c"), [("50 %", r"x\y & {z}")], ("a note",))
    assert text.splitlines() == [
        "% a note",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & c \\",
        r"\midrule",
        r"50 \% & x\textbackslash{}y \& \{z\} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
