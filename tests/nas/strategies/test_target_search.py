"""One agent for several targets, where the optimum is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nas.errors import ConfigError
from nas.strategies.target_search import Learning, TargetSearch
from nas.strategies.width_episodes import Places
from tests.nas.strategies.analytic import Analytic

TARGETS = (0.3, 0.5, 0.7)
SHORT = Learning(episodes=12, warmup=0.5, batch=8, replay=5)


def test_the_best_of_all_that_keeps_to_a_target_is_kept() -> None:
    problem = Analytic(0, layers=4)
    tried: list[tuple[int, ...]] = []

    def score(places: Places) -> float:
        tried.append(tuple(places))
        return problem.accuracy(places)

    found = TargetSearch(problem.episodes, TARGETS, SHORT, 0)(score)
    assert list(found) == list(TARGETS)
    assert len(tried) == 12
    for number, places in enumerate(tried):  # targets rotate
        assert problem.cost(places) <= TARGETS[number % 3] + 1e-9
    for target, best in found.items():
        inside = [places for places in tried if problem.cost(places) <= target + 1e-9]
        assert best.score == max(map(problem.accuracy, inside)) == problem.accuracy(best.places)
        assert best.kept == problem.cost(best.places)
    scores = [found[target].score for target in TARGETS]
    assert scores == sorted(scores)


def test_the_same_seed_gives_the_same_episodes_and_another_one_others() -> None:
    problem = Analytic(1, layers=4)

    def episodes(seed: int) -> list[Places]:
        seen: list[Places] = []

        def score(places: Places) -> float:
            seen.append(places)
            return problem.accuracy(places)

        TargetSearch(problem.episodes, TARGETS, SHORT, seed)(score)
        return seen

    torch.manual_seed(0)
    first = episodes(3)
    before = torch.get_rng_state()
    assert episodes(3) == first != episodes(4)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_constant_shift_of_one_targets_scores_changes_nothing() -> None:
    """Each target's rewards are compared with its own: the fault of one baseline for all."""
    problem = Analytic(2, layers=4)

    def searched(shift: float) -> list[Places]:
        seen: list[Places] = []

        def score(places: Places) -> float:
            seen.append(places)
            return problem.accuracy(places) + shift * (len(seen) % 3 == 1)

        TargetSearch(problem.episodes, TARGETS, SHORT, 0)(score)
        return seen

    assert searched(0.0) == searched(-64.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"warmup": 1.5}, "derivation.warmup must be a number from 0 up to 1, got 1.5"),
        ({"noise": float("nan")}, "derivation.noise must be a number from 0, finite"),
        ({"actor_rate": -1.0}, "derivation.actor_rate must be a number from 0, finite"),
        ({"replay": 0}, "derivation.replay must be a whole number above 0, got 0"),
        ({"batch": 1.5}, "derivation.batch must be a whole number above 0, got 1.5"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Learning(**settings)
