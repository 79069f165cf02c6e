"""What a search may see of a table: scores one by one, counted, and nothing of the test split."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nas.benchmarks.errors import QueryError
from nas.benchmarks.nearest import Nearest
from nas.benchmarks.query import Query, Series, select
from nas.benchmarks.table import Table
from nas.decision import Genotype
from nas.errors import NasError

REPEATS, FIRST = 20, 50
"""A search that asked 20 times as often as it paid (from 50 on) is over: it finds nothing new."""


class BudgetSpentError(NasError):
    """The budget of a search is used up; what it has seen so far is its result."""


@dataclass(frozen=True)
class Budget:
    """How much a search may ask: a number of queries, or seconds of simulated training, or both.

    Raises:
        QueryError: neither is given, or one of them is not positive.
    """

    queries: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.queries is None and self.seconds is None:
            raise QueryError("a search needs a budget: queries=N, seconds=S of training, or both")
        for name, value in (("queries", self.queries), ("seconds", self.seconds)):
            if value is not None and not 0 < value < float("inf"):
                raise QueryError(f"the budget {name} must be above 0, got {value}")


class CountingView:
    """The scores of one search on one table.

    A query that was asked before (same architecture, same epochs) gives the remembered score and
    costs nothing, as it would cost whoever keeps notes nothing. With the seed policy ``random``
    one of the seeds is drawn when an architecture is paid for, and stays. A query costs one unit,
    or, counted in seconds, its epochs times the table's seconds per epoch; more epochs of an
    architecture that was paid for with fewer cost the difference, as training would go on.

    Where scores are known of some architectures of the space only, the nearest one that was not
    asked for yet answers instead of one that is not there (see `Nearest`).

    Args:
        table: the table.
        query: the score; its epochs are the default of ``score``.
        budget: what may be spent.
        seed: of the draws.

    Raises:
        QueryError: the query is ambiguous or asks for the test split, or seconds are counted and
            the table has none.
    """

    def __init__(self, table: Table, query: Query, budget: Budget, seed: int = 0) -> None:
        self.table, self.query, self.budget = table, query, budget
        self.series = self._series(query)
        if budget.seconds is not None and table.seconds is None:
            raise QueryError(f"table {table.name} has no training times; give queries=N instead")
        self.queries = 0
        self.seconds = 0.0
        self.asked = 0
        self._generator = np.random.default_rng([seed, 1])
        self._by_epochs: dict[int | None, Series] = {None: self.series}
        self._seen: dict[tuple[int, int | None], float] = {}
        self._trained: dict[int, int] = {}
        self._nearest: Nearest | None = None
        if not (table.complete and self.series.complete):
            self._nearest = Nearest(table, self.series.known, np.random.default_rng([seed, 2]))

    @property
    def exact(self) -> bool:
        """Whether every architecture of the space has a score of its own."""
        return self._nearest is None

    def score(self, choices: Genotype, epochs: int | None = None) -> tuple[float, int, bool]:
        """The score of an architecture, the row that answered, and whether it was paid for now.

        Raises:
            BudgetSpentError: this query is beyond the budget.
            GenotypeError: it lies outside the space.
        """
        row = self._row(choices)
        self.asked += 1
        series = self._by_epochs.get(epochs)
        if series is None:
            series = self._by_epochs[epochs] = self._series(replace(self.query, epochs=epochs))
        key = (row, series.column.epochs)
        if key in self._seen:
            if self.asked > REPEATS * max(self.queries, FIRST):
                raise BudgetSpentError("the search asks for nothing new any more")
            return self._seen[key], row, False
        self._pay(row, series.column.epochs)
        value = self._seen[key] = series.of(row, self._generator)
        return value, row, True

    def _row(self, choices: Genotype) -> int:
        if self._nearest is None:
            return self.table.row(choices)
        row = self._nearest.row(choices)
        if row is None:
            raise BudgetSpentError("all that the table knows was asked for")
        return row

    def _series(self, query: Query) -> Series:
        series = select(self.table, query)
        if series.column.split.startswith("test"):
            raise QueryError(
                "test figures are not handed out during a search; "
                f"search with another split of table {self.table.name}"
            )
        return series

    def _pay(self, row: int, epochs: int | None) -> None:
        queries, seconds = self.queries + 1, self.seconds
        if self.table.seconds is not None and epochs is not None:
            before = self._trained.get(row, 0)
            seconds += max(0, epochs - before) * float(self.table.seconds[row])
        most, longest = self.budget.queries, self.budget.seconds
        if (most is not None and queries > most) or (longest is not None and seconds > longest):
            raise BudgetSpentError("the budget is used up")
        self.queries, self.seconds = queries, seconds
        if epochs is not None:
            self._trained[row] = max(epochs, self._trained.get(row, 0))
