"""A question to a table: metric, data set, split, epochs, and which of the seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.benchmarks.errors import QueryError
from nas.benchmarks.table import Column, Table, Values
from nas.errors import nearest

MEAN, RANDOM = "mean", "random"
HIGHER = frozenset(
    ("accuracy", "f1", "label_accuracy", "exact_match", "psnr", "pixel_accuracy", "sample_iou")
)
"""Metrics of which more is better; of all others less is."""


@dataclass(frozen=True)
class Query:
    """What is asked of a table; what is left out must leave one answer only.

    Attributes:
        metric, dataset, split, epochs: as of `Column`; None where the table leaves no choice.
        seed: ``mean`` over the seeds of the table, ``random`` for one of them, or a seed of it.
    """

    metric: str = "accuracy"
    dataset: str | None = None
    split: str | None = None
    epochs: int | None = None
    seed: str | int = MEAN


@dataclass(frozen=True, eq=False)
class Series:
    """The columns that answer a question, one for each seed.

    Not every architecture need have every seed: what is told of it is of those that it has.

    Attributes:
        column: what they share; its ``seed`` is None.
        values: (seeds, architectures), NaN where there is none.
        seeds: of the rows; None for a mean that the source gives.
        policy: ``mean``, ``random``, or the one seed that was asked for.
    """

    column: Column
    values: Values
    seeds: tuple[int | None, ...]
    policy: str | int

    @property
    def higher_is_better(self) -> bool:
        """Whether more of this metric is better."""
        return self.column.metric in HIGHER

    @property
    def mean(self) -> Values:
        """(architectures,) means over the seeds that each has; NaN without one."""
        there = ~np.isnan(self.values)
        total = np.where(there, self.values, 0.0).sum(0)
        found: Values = np.where(self.known, total / np.maximum(there.sum(0), 1), np.nan)
        return found

    @property
    def first(self) -> Values:
        """(architectures,) the value of the first seed that each has; NaN without one."""
        rows = (~np.isnan(self.values)).argmax(0)
        found: Values = self.values[rows, np.arange(self.values.shape[1])]
        return found

    @property
    def known(self) -> NDArray[np.bool_]:
        """(architectures,) whether each has its value."""
        return np.asarray(~np.isnan(self.values).all(0))

    @property
    def complete(self) -> bool:
        """Whether every architecture of the table has its value."""
        return bool(self.known.all())

    @property
    def best(self) -> float:
        """The best mean of an architecture that has one."""
        mean = self.mean[self.known]
        return float(mean.max() if self.higher_is_better else mean.min())

    def of(self, row: int, generator: np.random.Generator) -> float:
        """The value of an architecture under the seed policy.

        Raises QueryError where it was not measured.
        """
        own = self.values[:, row]
        own = own[~np.isnan(own)]
        if not len(own):
            raise QueryError(f"this architecture has no value of {self.column.text} in the table")
        return float(own[generator.integers(len(own))] if self.policy == RANDOM else own.mean())


def select(table: Table, query: Query) -> Series:
    """The series of a question.

    Raises:
        QueryError: the table has no such column, or several; the sentence lists what there is.
    """
    _check(table, query)
    found = [column for column in table.columns if column.metric == query.metric]
    for name in ("dataset", "split", "epochs"):
        wanted = getattr(query, name)
        there = list(dict.fromkeys(getattr(column, name) for column in found))
        if wanted is not None and wanted not in there:
            hint = nearest(str(wanted), map(str, there))
            raise QueryError(
                f"table {table.name} has no {query.metric} with {name} {wanted}; "
                f"it has {_listed(there)}{hint}"
            )
        found = [column for column in found if wanted is None or getattr(column, name) == wanted]
    kinds = list(dict.fromkeys(replace(column, seed=None) for column in found))
    if len(kinds) > 1:
        differ = [
            n for n in ("dataset", "split", "epochs") if len({getattr(k, n) for k in kinds}) > 1
        ]
        raise QueryError(
            f"ambiguous: say {' and '.join(differ)}; table {table.name} has "
            f"{'; '.join(kind.text for kind in kinds)}"
        )
    return _of_seeds(table, query, found, kinds[0])


def _of_seeds(table: Table, query: Query, found: list[Column], kind: Column) -> Series:
    known = [column.seed for column in found if column.seed is not None]
    kept = found
    if query.seed not in (MEAN, RANDOM):
        kept = [column for column in found if column.seed == query.seed]
    if not kept or (query.seed == RANDOM and not known):
        has = f"it has seeds {_listed(known)}, mean and random" if known else "it has means only"
        raise QueryError(f"table {table.name} has no seed {query.seed} of {kind.text}; {has}")
    rows = [table.columns.index(column) for column in kept]
    seeds = tuple(column.seed for column in kept)
    return Series(kind, table.values[rows], seeds, query.seed)


def _check(table: Table, query: Query) -> None:
    known = table.metrics()
    if query.metric not in known:
        raise QueryError(
            f"table {table.name} has no metric {query.metric!r}; it has {_listed(known)}"
            f"{nearest(query.metric, known)}"
        )
    if query.epochs is not None and query.epochs < 1:
        raise QueryError(f"epochs must be at least 1, got {query.epochs}")
    if isinstance(query.seed, str) and query.seed not in (MEAN, RANDOM):
        raise QueryError(f"the seed policy is mean, random or a seed, got {query.seed!r}")


def _listed(words: Iterable[object]) -> str:
    return ", ".join(str(word) or "none" for word in words)
