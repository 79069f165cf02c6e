"""What every method promises, and that each but random search uses its scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.benchmarks import Budget, Column, Query
from nas.benchmarks.errors import QueryError
from nas.benchmarks.methods import METHODS, make
from nas.benchmarks.methods.base import mutate
from nas.benchmarks.methods.evolution import RegularizedEvolution
from nas.benchmarks.methods.reinforce import Reinforce
from nas.benchmarks.methods.successive_halving import SuccessiveHalving
from nas.benchmarks.query import select
from nas.benchmarks.trials import Contest, judged, regret, search, searches
from nas.decision import Decision, validate
from tests.nas.benchmarks.made import SPACE, table

DECISIONS = SPACE.by_name
SCORE = Query(split="validation", epochs=9, seed="random")
JUDGE = Query(split="test", epochs=9)


def contest(queries: int = 40, noise: float = 1.0) -> Contest:
    return Contest(table(noise), SCORE, JUDGE, Budget(queries=queries))


@pytest.mark.parametrize("name", METHODS)
def test_a_search_follows_from_its_seed(name: str) -> None:
    one, again, other = (search(contest(), name, seed) for seed in (3, 3, 4))
    assert one == again
    assert one.rows != other.rows
    assert 20 <= len(one.rows) <= 40  # REINFORCE may find nothing new on 81 architectures


@pytest.mark.parametrize("name", METHODS)
def test_every_proposal_is_a_genotype(name: str) -> None:
    method = make(name, DECISIONS, 0, (1, 3, 9))
    for step in range(60):
        trial = method.propose()
        assert set(trial.choices) == set(DECISIONS)
        validate(DECISIONS, trial.choices)
        method.observe(trial, float(step % 7))


@pytest.mark.parametrize("name", ["evolution", "local_search", "reinforce"])
def test_methods_that_learn_beat_random_search_where_there_is_much_to_learn(name: str) -> None:
    made = contest(queries=30, noise=0.3)
    series = select(made.table, made.report)
    lost = {
        each: regret(series, judged(series, list(searches(made, [each], range(20))), 30))[:, -1]
        for each in ("random", name)
    }
    assert lost[name].mean() < lost["random"].mean() - 0.5


def test_an_unknown_method_is_told() -> None:
    with pytest.raises(QueryError, match=r"unknown strategy 'evolutoin'.*did you mean 'evolution'"):
        make("evolutoin", DECISIONS, 0)


def test_the_oldest_dies_however_good_it_is() -> None:
    method = RegularizedEvolution(DECISIONS, np.random.default_rng(0), population=3, sample=2)
    for score in (100.0, 1.0, 2.0, 3.0):
        method.observe(method.propose(), score)
    assert [score for _, score in method.alive] == [1.0, 2.0, 3.0]


def test_a_mutation_changes_one_decision_that_can_change() -> None:
    decisions = {"a": Decision("a", (1,)), "b": Decision("b", (1, 2)), "c": Decision("c", (1, 2))}
    rng, start = np.random.default_rng(0), {"a": 1, "b": 1, "c": 1}
    found = [mutate(start, decisions, rng) for _ in range(20)]
    assert all(each["a"] == 1 and each["b"] + each["c"] == 3 for each in found)
    assert len({each["b"] for each in found}) == 2


def test_halving_trains_the_best_third_longer() -> None:
    method = SuccessiveHalving(DECISIONS, np.random.default_rng(0), (1, 3, 9))
    lengths = []
    for step in range(13):
        trial = method.propose()
        lengths.append(trial.epochs)
        method.observe(trial, float(step))
    assert lengths == [1] * 9 + [3] * 3 + [9]
    assert method.propose().epochs == 1
    with pytest.raises(QueryError, match="several training lengths; this one has 9"):
        SuccessiveHalving(DECISIONS, np.random.default_rng(0), (9,))


def test_reinforce_steps_along_the_gradient_of_its_sample() -> None:
    method = Reinforce(DECISIONS, np.random.default_rng(0))
    method.observe(method.propose(), 50.0)
    assert (method.logits == 0).all()  # the first reward is its own baseline
    before = method.probabilities()
    trial = method.propose()
    drawn = [DECISIONS[name].position(choice) for name, choice in trial.choices.items()]
    method.observe(trial, 80.0)
    rows = np.arange(len(drawn))
    assert (method.probabilities()[rows, drawn] > before[rows, drawn]).all()


def test_reinforce_refuses_what_it_cannot_sample() -> None:
    with pytest.raises(QueryError, match="'inputs' keeps several"):
        Reinforce({"inputs": Decision("inputs", (0, 1, 2), pick=2)}, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("strategies", "seeds", "said"),
    [
        (["random", "random"], [0], "strategies needs distinct values, got random twice"),
        (["random"], [0, 1, 0], "seeds needs distinct values, got 0 twice"),
        ([], [0], "strategies needs distinct values, got none"),
    ],
)
def test_what_collides_is_refused(strategies: list[str], seeds: list[int], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        contest().check(strategies, seeds)


def test_the_best_so_far_never_gets_worse_in_what_the_search_saw() -> None:
    made = Contest(table(), Query(split="validation", epochs=9), JUDGE, Budget(queries=40))
    seen = select(made.table, made.query).mean
    path = search(made, "random", 0)
    best = seen[path.best]
    assert (np.diff(best) >= 0).all()
    assert (best == np.maximum.accumulate(seen[path.rows])).all()


def test_random_search_draws_every_choice_equally_often() -> None:
    method = make("random", DECISIONS, 0)
    drawn = [method.propose().choices["layer2"] for _ in range(3000)]
    counts = [drawn.count(letter) for letter in "abc"]
    assert all(abs(count - 1000) < 4 * (1000 * 2 / 3) ** 0.5 for count in counts)


def test_a_search_hands_over_the_best_of_what_can_be_judged() -> None:
    made = table(0.3)
    judge = made.columns.index(Column("accuracy", "digits", "test", 9, 0))
    hidden = np.random.default_rng(0).random(len(made)) < 0.8
    values = made.values.copy()
    values[judge : judge + 3, hidden] = np.nan  # all three seeds of the judging column
    score = replace(SCORE, seed=0)
    partly = Contest(replace(made, values=values), score, JUDGE, Budget(queries=40))
    partly.check(["random", "evolution"], [0, 1])
    known = np.flatnonzero(~hidden)
    assert select(partly.table, JUDGE).best == select(made, JUDGE).mean[known].max()
    for name in ("random", "evolution"):
        path = search(partly, name, 5)
        assert path.rows == search(replace(partly, table=made), name, 5).rows  # it sees all scores
        seen = select(made, score).mean
        for end, best in enumerate(path.best, start=1):
            asked = [row for row in path.rows[:end] if row in known]
            assert best == (max(asked, key=lambda row: seen[row]) if asked else -1)
        start = sum(row < 0 for row in path.best)
        found = judged(select(partly.table, JUDGE), [path], 40)[0]
        assert np.isnan(found[:start]).all()
        assert not np.isnan(found[start:]).any()


def test_a_search_without_anything_to_hand_over_is_told() -> None:
    made = table()
    values = made.values.copy()
    judge = made.columns.index(Column("accuracy", "digits", "test", 9, 0))
    values[judge : judge + 3, 2:] = np.nan
    partly = Contest(replace(made, values=values), SCORE, JUDGE, Budget(queries=1))
    paths = list(searches(partly, ["random"], range(5)))
    with pytest.raises(QueryError, match="no architecture that has a value"):
        judged(select(partly.table, JUDGE), paths, 1)
