"""Gates by target as a derivation: what it asks of a run, what it refuses, what it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.decision import Choice, Decision, Genotype
from nas.errors import ConfigError
from nas.strategies import ChecksRun, ConditionalGates, Derivation, ScoresPaths
from nas.strategies.conditional_gates import best
from nas.strategies.targets import Served, at_end
from tests.nas.strategies.candidates import Mock

SHARES = (0.25, 0.5, 1.0)
WIDTHS = {name: Decision(name, SHARES, "nested") for name in ("a/width", "b/width")}
LADDERS = {**WIDTHS, "a/bits": Decision("a/bits", (2, 4, 8), "nested", groups=2)}
NARROW: dict[str, Choice] = {"a/width": 0.25, "b/width": 0.5}  # 0.375 of the cost
WIDE: dict[str, Choice] = {"a/width": 1.0, "b/width": 0.5}  # 0.75


class Prunable(Mock):
    """Two layers of equal cost, and a policy that knows a genotype of every target."""

    def __init__(
        self,
        preferred: Mapping[float, dict[str, Choice]] | None = None,
        scored: Mapping[float, float] | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(dict(WIDTHS), **parts)
        self._preferred = preferred or {}
        self._by_cost = scored or {}
        self.told: list[tuple[str, float]] = []

    def costs(self, choices: Genotype) -> Mapping[str, float]:
        return {"macs": 50 * sum(float(choices[name]) for name in WIDTHS)}  # type: ignore[arg-type]

    def preferred_at(self, cost: str, target: float) -> dict[str, Choice]:
        self.told.append((cost, target))
        return self._preferred[target]

    def scores(self, queries: int, batches: int | None, calibration: int) -> Any:
        self.asked = queries, batches, calibration
        return lambda choices: self._by_cost.get(self.costs(choices)["macs"], 0.5)


def test_a_genotype_of_every_target_and_the_first_targets_is_the_runs() -> None:
    made: Derivation = ConditionalGates((0.8, 0.4), batches=3, calibration=2)
    assert isinstance(made, ScoresPaths)
    assert isinstance(made, ChecksRun)
    made.check(WIDTHS)
    mock = Prunable({0.8: WIDE, 0.4: NARROW}, {37.5: 0.6, 75.0: 0.9})
    made.check_run(mock)
    assert mock.asked is None  # nothing is scored for a check
    found = made(mock)
    assert mock.told == [("macs", 0.8), ("macs", 0.4)]
    assert mock.asked == (2, 3, 2)
    assert found.choices == WIDE
    assert found.named == {"target_0.8": WIDE, "target_0.4": NARROW}
    assert found.figures == {
        "method": "conditional gates",
        "queries": 2,
        "cost": "macs",
        "targets": [
            {"target": 0.8, "score": 0.9, "kept": 0.75, "genotype": "genotypes/target_0.8.json"},
            {"target": 0.4, "score": 0.6, "kept": 0.375, "genotype": "genotypes/target_0.4.json"},
        ],
    }
    assert found.sentence == (
        "conditional gates: accuracy by target share of macs (0.8: 0.9 at 0.750, 0.4: 0.6 at "
        "0.375), held-out data, supernet's weights; this is target 0.8, all are in "
        "genotypes/target_*.json; all keep to budget.macs=5"
    )


def test_what_was_derived_for_a_lower_target_serves_a_higher_one_where_it_scores_better() -> None:
    mock = Prunable({0.4: NARROW, 0.8: WIDE}, {37.5: 0.9, 75.0: 0.6})
    found = ConditionalGates((0.4, 0.8))(mock)
    assert found.named == {"target_0.4": NARROW, "target_0.8": NARROW}


rows = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=6
)


@given(rows, rows)
def test_neither_score_nor_cost_falls_as_targets_rise(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
) -> None:
    tried = sorted((Served({}, s, k) for k, s in [(0.0, 0.0), *one, *other]), key=lambda x: x.kept)
    found = [best(tried, share / 20) for share in range(21)]
    assert [each.kept for each in found] == sorted(each.kept for each in found)
    assert [each.score for each in found] == sorted(each.score for each in found)
    assert all(each.kept <= share / 20 + 1e-9 for share, each in enumerate(found))


def test_the_whole_network_and_the_smallest_one_of_ladders_and_groups() -> None:
    assert at_end(LADDERS) == {"a/width": 1.0, "b/width": 1.0, "a/bits": (8, 8)}
    assert at_end(LADDERS, least=True) == {"a/width": 0.25, "b/width": 0.25, "a/bits": (2, 2)}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"targets": ()}, r"above 0 and up to 1, such as \[0.3,0.5,0.7\], got \[\]"),
        ({"targets": (0.0, 0.5)}, r"above 0 and up to 1"),
        ({"targets": (0.5, 1.2)}, r"above 0 and up to 1"),
        ({"targets": (0.5, float("nan"))}, r"above 0 and up to 1"),
        ({"targets": (0.5, 0.5)}, r"different shares"),
        ({"targets": (0.5, 0.5000001)}, r"different shares"),  # of one file name
        ({"batches": 0}, "batches must be a whole number of at least 1"),
        ({"calibration": -1}, "calibration must be a whole number of at least 0"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ConditionalGates(**settings)


@pytest.mark.parametrize(
    ("decisions", "sentence"),
    [
        ({}, "and this space has none; use them as in .* compression=prune"),
        ({"cell/op": Decision("cell/op", ("a", "b"))}, "and cell/op is none"),
        ({"depth": Decision("depth", (1, 2), "nested", soft=False)}, "and depth is none"),
    ],
)
def test_only_ladders_of_soft_candidates_have_gates(
    decisions: dict[str, Decision], sentence: str
) -> None:
    made = ConditionalGates()
    made.check(LADDERS)
    with pytest.raises(ConfigError, match=sentence):
        made.check({**(LADDERS if decisions else {}), **decisions})


def test_what_costs_alone_can_tell_is_told_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"smallest network of this space keeps 0.25 of the cost"):
        ConditionalGates((0.5, 0.2)).check_run(Prunable())
    with pytest.raises(ConfigError, match=r"cost=macz: no cost has that name; .* macs"):
        ConditionalGates(cost="macz").check_run(Prunable())
    with pytest.raises(ConfigError, match=r"keeps to budget.macs=5; raise the limit"):
        ConditionalGates((0.5,)).check_run(Prunable(affordable=lambda choices: False))
