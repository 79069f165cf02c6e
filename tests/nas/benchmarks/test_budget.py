from __future__ import annotations

import numpy as np
import pytest

from nas.benchmarks import Budget, BudgetSpentError, CountingView, Query
from nas.benchmarks.errors import QueryError
from tests.nas.benchmarks.made import BEST, table

SEEN = Query(split="validation", epochs=9, seed="random")
WORST = dict.fromkeys(BEST, "a")


def test_a_repeated_query_is_remembered_and_free() -> None:
    view = CountingView(table(), SEEN, Budget(queries=2))
    first = view.score(BEST)
    assert first[2]
    assert {view.score(BEST) for _ in range(20)} == {(*first[:2], False)}
    view.score(WORST)
    assert view.queries == 2
    with pytest.raises(BudgetSpentError):
        view.score({**BEST, "layer1": "b"})
    assert view.queries == 2


def test_seconds_are_epochs_times_cost_and_training_goes_on() -> None:
    view = CountingView(table(), SEEN, Budget(seconds=9 * 9 + 9.5))
    view.score(BEST, 1)
    assert view.seconds == 9.0  # 8 codes above zero, and one second
    view.score(BEST, 3)
    assert view.seconds == 27.0
    view.score(BEST)
    assert view.seconds == 81.0
    view.score(WORST)
    assert view.seconds == 90.0
    with pytest.raises(BudgetSpentError):
        view.score({**WORST, "layer1": "b"}, 1)


def test_test_figures_are_refused_during_a_search() -> None:
    with pytest.raises(QueryError, match="test figures are not handed out during a search"):
        CountingView(table(), Query(split="test", epochs=9), Budget(queries=1))


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({}, "a search needs a budget"),
        ({"queries": 0}, "queries must be above 0, got 0"),
        ({"seconds": -1.0}, "seconds must be above 0, got -1"),
        ({"seconds": float("nan")}, "seconds must be above 0, got nan"),
    ],
)
def test_a_budget_is_positive(budget: dict[str, float], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        Budget(**budget)  # type: ignore[arg-type]


def test_seconds_need_a_table_with_times() -> None:
    with pytest.raises(QueryError, match="no training times; give queries=N"):
        CountingView(table(seconds=False), SEEN, Budget(seconds=1.0))


def test_a_search_that_finds_nothing_new_ends() -> None:
    view = CountingView(table(), SEEN, Budget(queries=500))
    rng = np.random.default_rng(0)

    def draw_on() -> None:
        for _ in range(100_000):
            view.score({name: "abc"[int(rng.integers(3))] for name in BEST})

    with pytest.raises(BudgetSpentError, match="nothing new"):
        draw_on()
    assert view.queries == 81
