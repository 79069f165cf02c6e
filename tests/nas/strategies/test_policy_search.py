"""The best of what a policy draws: what is scored, what the budget refuses, how often."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from nas.decision import Choice, Genotype
from nas.errors import ConfigError
from nas.strategies import Derivation, PolicySearch, ScoresPaths
from tests.nas.strategies.candidates import BEST, DECISIONS, Mock, planted

NAMES = list(DECISIONS)
ALL: list[dict[str, Choice]] = [
    dict(zip(NAMES, choice, strict=True)) for choice in product("abcd", repeat=5)
]
SPREAD = ALL[::37]  # 28 of 1,024, among them no two neighbors


def near(choices: Genotype) -> dict[str, Choice]:
    """The first layer is "a", the rest as it is."""
    return {**choices, "layer0": "a"}


def cheap(choices: Genotype) -> bool:
    return choices["layer0"] == "a"


def test_the_best_of_the_preferred_and_the_drawn_is_taken() -> None:
    mock = Mock(drawn=SPREAD)
    search: Derivation = PolicySearch(queries=12, batches=3, calibration=5)
    search.check(DECISIONS)
    found = search(mock)
    assert mock.asked == (12, 3, 5)
    assert mock.scored == SPREAD[:12]
    assert planted(found.choices) == max(map(planted, SPREAD[:12])) == found.figures["score"]
    assert found.figures == {
        "method": "policy",
        "queries": 12,
        "drawn": 12,
        "refused": 0,
        "score": found.figures["score"],
    }
    assert "best accuracy of 12 different architectures among 12 drawn" in found.sentence
    alone = PolicySearch(queries=1)(Mock(drawn=SPREAD))
    assert alone.choices == SPREAD[0]  # what the policy prefers


def test_equal_draws_count_and_are_scored_once_and_the_first_of_equal_scores_is_taken() -> None:
    worst = [each for each in ALL if planted(each) == 0.2][:3]
    mock = Mock(drawn=[worst[0], worst[1], worst[1], worst[2]])
    found = PolicySearch(queries=8)(mock)
    assert mock.scored == worst
    assert found.choices == worst[0]
    assert (found.figures["queries"], found.figures["drawn"]) == (3, 8)


def test_what_is_over_the_budget_is_refused_unscored() -> None:
    mock = Mock(drawn=[dict(BEST), *SPREAD], affordable=cheap)
    found = PolicySearch(queries=6)(mock)
    assert len(mock.scored) == 6
    assert all(map(cheap, [*mock.scored, found.choices]))
    assert found.figures["refused"] > 0
    refused = found.figures["refused"]
    assert found.sentence.endswith(f"; {refused} draws over budget.macs=5 refused")


def test_draws_are_moved_into_a_budget_that_hardly_any_keeps_to() -> None:
    dear = [each for each in SPREAD if not cheap(each)]
    mock = Mock(drawn=dear, affordable=cheap, nearest=near)
    found = PolicySearch(queries=4)(mock)
    assert cheap(found.choices)
    assert found.figures["drawn"] == 4
    assert 0 < len(mock.scored) <= 4
    assert all(map(cheap, mock.scored))
    assert found.figures["refused"] == 24  # twenty in a row, then the four that were moved
    with pytest.raises(ConfigError, match=r"none of 21 proposed .* budget.macs=5; raise the"):
        PolicySearch(queries=4)(Mock(drawn=dear, affordable=cheap))
    # One that keeps to it is enough, though the draws do not.
    one = PolicySearch(queries=4)(Mock(drawn=[near(BEST), *dear], affordable=cheap))
    assert one.choices == near(BEST)
    assert one.figures["drawn"] == 1


@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_derivation_killed_anywhere_ends_as_if_it_had_not_been(stop: int) -> None:
    expected = PolicySearch(queries=9)(Mock(drawn=SPREAD))
    first = Mock(drawn=SPREAD, stop=stop)
    with pytest.raises(KeyboardInterrupt):
        PolicySearch(queries=9)(first)
    second = Mock(drawn=SPREAD, known=first.known)
    assert PolicySearch(queries=9)(second) == expected
    assert len(first.scored) + len(second.scored) == 9
    assert len({json.dumps(each) for each in first.scored + second.scored}) == 9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"queries": 0}, "queries must be a whole number of at least 1, got 0"),
        ({"batches": 0}, "batches must be a whole number of at least 1, got 0"),
        ({"calibration": 1.5}, "calibration must be a whole number of at least 0"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PolicySearch(**settings)


def test_it_scores_paths() -> None:
    assert isinstance(PolicySearch(), ScoresPaths)
