"""Samples of a space: what answers instead of an architecture that is not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.benchmarks import Budget, BudgetSpentError, CountingView, Query, SpaceRecord, Table
from nas.benchmarks.errors import QueryError
from nas.benchmarks.nearest import Nearest
from nas.benchmarks.query import select
from nas.benchmarks.trials import Contest, search
from nas.decision import Decision
from tests.nas.benchmarks.made import SPACE, table

SCORE = Query(split="validation", epochs=9, seed=0)
JUDGE = Query(split="test", epochs=9)


def some(rows: list[int]) -> Table:
    whole = table()
    seconds = None if whole.seconds is None else whole.seconds[rows]
    return replace(whole, codes=whole.codes[rows], values=whole.values[:, rows], seconds=seconds)


@given(
    rows=st.sets(st.integers(0, 80), min_size=2, max_size=12),
    asked=st.lists(st.tuples(*[st.sampled_from("abc")] * 4), min_size=1, max_size=14),
)
def test_the_nearest_is_what_counting_differences_finds(
    rows: set[int], asked: list[tuple[str, ...]]
) -> None:
    made = some(sorted(rows))
    nearest = Nearest(made, np.ones(len(made), dtype=bool), np.random.default_rng(0))
    left = set(range(len(made)))
    for choices in asked:
        proposal = dict(zip(SPACE.by_name, choices, strict=True))
        apart = [
            sum(made.genotype(row)[name] != choice for name, choice in proposal.items())
            for row in range(len(made))
        ]
        found = nearest.row(proposal)
        if 0 in apart:
            assert found == apart.index(0)
        elif not left:
            assert found is None
        else:
            assert found in left
            assert apart[found] == min(apart[row] for row in left)
        left -= {found}


def test_decisions_that_an_architecture_does_not_take_do_not_count() -> None:
    space = SpaceRecord("two", (Decision("kept", ("no", "yes")), Decision("which", ("a", "b"))))
    codes = np.array([[0, 255], [1, 1]], dtype=np.uint8)
    made = Table("two", space, codes, (), np.zeros((0, 2)))
    nearest = Nearest(made, np.array([True, True]), np.random.default_rng(0))
    assert nearest.row({"kept": "no", "which": "b"}) == 0
    assert nearest.row({"kept": "yes", "which": "b"}) == 1


def test_a_sample_is_searched_until_its_budget_is_spent() -> None:
    made = some(list(range(0, 81, 4)))
    for name in ("random", "evolution", "local_search", "reinforce", "successive_halving"):
        contest = Contest(made, SCORE, JUDGE, Budget(queries=15))
        contest.check([name], [0])
        path = search(contest, name, 0)
        assert len(path.rows) == 15
        if name != "successive_halving":  # which trains some of them longer
            assert len(set(path.rows)) == 15
        again = search(contest, name, 0)
        assert again.rows == path.rows


def test_a_method_learns_from_the_architecture_that_answered() -> None:
    made = some([0, 80])  # all a and all c, the best
    view = CountingView(made, SCORE, Budget(queries=5))
    best = dict.fromkeys(SPACE.by_name, "c")
    assert view.score({**best, "layer1": "a"})[1:] == (1, True)
    assert view.score(best)[1:] == (1, False)
    assert view.score({**best, "layer2": "b"})[1:] == (0, True)  # 1 was given already
    with pytest.raises(BudgetSpentError, match="all that the table knows"):
        view.score({**best, "layer2": "b"})


def test_scores_that_are_not_known_never_answer() -> None:
    made = table()
    values = made.values.copy()
    hidden = np.arange(len(made)) % 3 > 0
    values[:, hidden] = np.nan
    contest = Contest(replace(made, values=values), SCORE, JUDGE, Budget(queries=20))
    path = search(contest, "evolution", 1)
    assert not hidden[path.rows].any()
    assert len(select(contest.table, SCORE).values[0][path.rows]) == 20


def test_a_budget_that_shows_everything_is_refused() -> None:
    contest = Contest(some([0, 40, 80]), SCORE, JUDGE, Budget(queries=3))
    with pytest.raises(QueryError, match="queries=3 would show a search all 3 architectures"):
        contest.check(["random"], [0])
