"""Derivation by search: the planted best path is found, the budget kept, sittings add up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nas.benchmarks.errors import QueryError
from nas.decision import Choice, Decision, Genotype
from nas.errors import ConfigError
from nas.strategies import Candidates, Derivation, Derived, Drawn, PathSearch
from nas.strategies.path_search import WHOLE
from tests.nas.strategies.candidates import BEST, DECISIONS, Mock, planted

PICKED = DECISIONS | {"inputs": Decision("inputs", (0, 1, 2, 3), pick=2)}


def derived(candidates: Candidates, **settings: Any) -> Derived:
    search: Derivation = PathSearch(**settings)
    search.check(candidates.decisions)
    return search(candidates)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["evolution", "local_search"])
def test_a_planted_best_path_is_found_among_a_thousand(method: str, seed: int) -> None:
    mock = Mock(seed=seed)
    found = derived(mock, method=method, queries=200, batches=3, calibration=5)
    assert found.choices == BEST
    assert mock.asked == (200, 3, 5)
    assert len(mock.scored) == found.figures["queries"] == 200  # of 1,024 paths
    assert f"{method}: best accuracy of 200 paths" in found.sentence


@pytest.mark.parametrize("method", WHOLE)
def test_no_path_is_scored_twice_and_the_best_scored_is_taken(method: str) -> None:
    mock = Mock(seed=1)
    found = derived(mock, method=method, queries=40)
    names = [json.dumps(choices, sort_keys=True) for choices in mock.scored]
    assert len(set(names)) == len(names) <= 40
    assert planted(found.choices) == max(map(planted, mock.scored)) == found.figures["score"]


@pytest.mark.parametrize("method", WHOLE)
def test_a_derivation_killed_anywhere_ends_as_if_it_had_not_been(method: str) -> None:
    whole = Mock(seed=2)
    expected = derived(whole, method=method, queries=30)
    for stop in (0, 1, 13, 29):
        first = Mock(seed=2, stop=stop)
        with pytest.raises(KeyboardInterrupt):
            derived(first, method=method, queries=30)
        second = Mock(seed=2, known=first.known)
        assert derived(second, method=method, queries=30) == expected
        assert first.scored + second.scored == whole.scored


@pytest.mark.parametrize("method", WHOLE)
def test_a_budget_that_excludes_most_of_the_space_is_met(method: str) -> None:
    def small(choices: Genotype) -> bool:  # 1 in 64
        return choices["layer0"] == choices["layer1"] == choices["layer2"] == "b"

    mock = Mock(affordable=small)
    found = derived(mock, method=method, queries=10)
    assert mock.scored
    assert all(map(small, mock.scored))
    assert small(found.choices)
    assert found.figures["refused"] > 0
    assert "over budget.macs=5 refused" in found.sentence
    drawn = Drawn()(mock)
    assert small(drawn.choices)
    assert drawn.sentence.startswith("nothing was searched: the architecture was drawn uniformly")


@pytest.mark.parametrize("method", WHOLE)
def test_proposals_are_moved_into_a_budget_that_hardly_any_keeps_to(method: str) -> None:
    names = list(DECISIONS)

    def tiny(choices: Genotype) -> bool:  # none that is drawn: all but the first are "b"
        return all(choices[name] == "b" for name in names[1:])

    def moved(choices: Genotype) -> dict[str, Choice]:
        return {**choices, **dict.fromkeys(names[1:], "b")}

    mock = Mock(affordable=tiny, nearest=moved)
    found = derived(mock, method=method, queries=3)
    assert tiny(found.choices)
    assert len(mock.scored) == 3
    assert all(map(tiny, mock.scored))
    drawn = Drawn()(Mock(affordable=lambda choices: False, nearest=moved))
    assert tiny(drawn.choices)
    assert "the last was moved within it" in drawn.sentence


@pytest.mark.parametrize("derivation", [PathSearch(queries=2), Drawn()])
def test_a_budget_that_nothing_keeps_to_is_told(derivation: Derivation) -> None:
    with pytest.raises(ConfigError, match=r"none of 10000 proposed .* budget.macs=5; raise the"):
        derivation(Mock(affordable=lambda choices: False))


@pytest.mark.parametrize("method", WHOLE)
def test_a_space_smaller_than_the_queries_is_exhausted(method: str) -> None:
    mock = Mock({"only": Decision("only", ("a", "b"))})
    mock.scores = lambda *asked: lambda choices: float(choices["only"] == "b")  # type: ignore
    found = derived(mock, method=method, queries=5)
    assert found.choices == {"only": "b"}
    assert "of 2 paths" in found.sentence
    assert "(5 wanted, no others proposed)" in found.sentence


def test_decisions_that_keep_several_candidates() -> None:
    for method in ("evolution", "random", "local_search"):
        found = derived(Mock(PICKED, seed=4), method=method, queries=30)
        kept = found.choices["inputs"]
        assert isinstance(kept, tuple)
        assert len(set(kept)) == 2
    with pytest.raises(QueryError, match=r"'inputs' keeps several; choose another method"):
        PathSearch(method="reinforce").check(PICKED)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "evolutoin"}, r"method must be one of random.*did you mean 'evolution'"),
        ({"method": "successive_halving"}, "method must be one of"),
        ({"queries": 0}, "queries must be a whole number of at least 1, got 0"),
        ({"batches": 0.5}, "batches must be a whole number"),
        ({"calibration": -1}, "calibration must be a whole number of at least 0"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PathSearch(**settings)


def test_draws_follow_from_the_seed() -> None:
    found = [Drawn()(Mock(seed=seed)).choices for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
