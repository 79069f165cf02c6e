"""Searches on a table, seed by seed, and what their best architecture so far is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nas.benchmarks.budget import Budget, BudgetSpentError, CountingView
from nas.benchmarks.errors import QueryError
from nas.benchmarks.methods import Trial, make
from nas.benchmarks.query import Query, Series, select
from nas.benchmarks.table import Table, Values


@dataclass(frozen=True)
class Contest:
    """Which searches run on what, and by what they are judged.

    Attributes:
        table: of all architectures of its space, or of some: these answer for their neighbors.
        query: the score that a search sees.
        report: by what its choice is judged afterwards, without the search seeing it. Where that is
            known of some architectures only, a search hands over the best of those it asked for.
        budget: of each search.
    """

    table: Table
    query: Query
    report: Query
    budget: Budget

    def check(self, strategies: Sequence[str], seeds: Sequence[int]) -> None:
        """Raise QueryError for what cannot be run: before anything is."""
        table, most = self.table, self.budget.queries
        seen, judge = select(table, self.query), select(table, self.report)
        both = int((seen.known & judge.known).sum())
        if both < 2:
            raise QueryError(
                f"table {table.name} has {seen.column.text} and {judge.column.text} of {both} "
                "architectures; a contest needs both of at least 2"
            )
        for name, given in (("strategies", strategies), ("seeds", seeds)):
            twice = {each for each in given if list(given).count(each) > 1}
            if not given or twice:
                what = f"{', '.join(map(str, sorted(twice, key=str)))} twice" if twice else "none"
                raise QueryError(f"{name} needs distinct values, got {what}")
        for name in strategies:
            make(name, table.space.by_name, 0, self.rungs())
        CountingView(table, self.query, self.budget)
        if most is not None and most >= seen.known.sum():
            raise QueryError(
                f"queries={most} would show a search all {seen.known.sum()} architectures that "
                f"table {table.name} has {seen.column.text} of; give fewer"
            )

    def rungs(self) -> list[int]:
        """The training lengths up to the query's, in order."""
        series = select(self.table, self.query)
        column = series.column
        found = {
            each.epochs
            for each in self.table.columns
            if (each.metric, each.dataset, each.split)
            == (column.metric, column.dataset, column.split)
            and each.epochs is not None
            and (column.epochs is None or each.epochs <= column.epochs)
        }
        return sorted(found)


@dataclass
class Trajectory:
    """One search: after each paid query the cost so far, and the row of the best seen so far.

    ``rows`` are the architectures that were asked for, ``best`` those that the search would have
    handed over at that moment: of the longest training seen the highest score, among those that can
    be judged; -1 before the first of them.
    """

    strategy: str
    seed: int
    rows: list[int] = field(default_factory=list)
    best: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def search(contest: Contest, strategy: str, seed: int) -> Trajectory:
    """Run one search until its budget is spent."""
    table = contest.table
    view = CountingView(table, contest.query, contest.budget, seed)
    method = make(strategy, table.space.by_name, seed, contest.rungs())
    sign = 1 if view.series.higher_is_better else -1
    known = select(table, contest.report).known
    path = Trajectory(strategy, seed)
    top: tuple[float, float] | None = None
    best = -1
    while True:
        trial = method.propose()
        try:
            score, row, paid = view.score(trial.choices, trial.epochs)
        except BudgetSpentError:
            return path
        method.observe(trial if view.exact else _answered(trial, table, row), sign * score)
        if not paid:
            continue
        rank = (float(trial.epochs or np.inf), sign * score)
        if known[row] and (top is None or rank > top):
            top, best = rank, row
        path.rows.append(row)
        path.best.append(best)
        path.seconds.append(view.seconds)


def _answered(trial: Trial, table: Table, row: int) -> Trial:
    """The trial of the row that answered; what that does not take stays as it was proposed."""
    return replace(trial, choices={**trial.choices, **table.genotype(row)})


def searches(
    contest: Contest, strategies: Sequence[str], seeds: Sequence[int]
) -> Iterator[Trajectory]:
    """All searches, strategy by strategy."""
    for strategy in strategies:
        for seed in seeds:
            yield search(contest, strategy, seed)


def judged(series: Series, paths: Sequence[Trajectory], length: int) -> Values:
    """(searches, length) of the value of the best so far; the last one stays to the end.

    NaN before the first architecture that can be judged. Raises QueryError for a search that could
    not pay for a single query, or asked for none that can be judged.
    """
    values = np.append(series.mean, np.nan)  # of row -1
    found = np.empty((len(paths), length))
    for place, path in enumerate(paths):
        if not path.best:
            raise QueryError(
                f"the budget does not pay for one query of {path.strategy}, seed {path.seed}; "
                "give more"
            )
        if path.best[-1] < 0:
            raise QueryError(
                f"{path.strategy}, seed {path.seed}, asked for no architecture that has a value of "
                f"{series.column.text}; give a larger budget, or leave report out"
            )
        own = values[path.best[:length]]
        found[place, : len(own)] = own
        found[place, len(own) :] = own[-1]
    return found


def regret(series: Series, values: Values) -> Values:
    """How far values of a series lie from the best of the table; 0 is the best."""
    lost: Values = series.best - values if series.higher_is_better else values - series.best
    return lost
