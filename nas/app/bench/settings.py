"""The settings of ``nas bench run`` as a contest: what is left open is filled from the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from nas.app.bench.searchable import check_searchable
from nas.benchmarks import Budget, Query, Table
from nas.benchmarks.query import MEAN, RANDOM, select
from nas.benchmarks.registry import load
from nas.benchmarks.trials import Contest
from nas.errors import ConfigError, nearest

ACTIONS = ("run", "build", "list", "query", "proxies")
AUTO = "auto"
SEEDS, MOST_SEEDS = 20, 10_000


@dataclass(frozen=True)
class Setup:
    """A contest, who takes part, and on which seeds."""

    contest: Contest
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]


def setup(cfg: DictConfig) -> Setup:
    """What a composed configuration asks for; nothing is searched yet.

    Raises:
        NasError: a setting that is not allowed, or that the table cannot answer.
    """
    if cfg.action != "run":
        raise ConfigError(
            f"there is no nas bench {cfg.action}; there are {', '.join(ACTIONS)}, typed first"
            f"{nearest(str(cfg.action), ACTIONS)}"
        )
    queries, seconds = cfg.queries, cfg.seconds
    if queries is not None and (isinstance(queries, bool) or not isinstance(queries, int)):
        raise ConfigError(f"queries must be a whole number or null, got {queries!r}")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
        raise ConfigError(f"seconds must be a number or null, got {seconds!r}")
    budget = Budget(queries, seconds)
    seeds = _seeds(cfg.seeds)
    table = load(str(cfg.table), Path(str(cfg.root)).expanduser())
    check_searchable(table, str(cfg.metric))
    query = _query(table, cfg)
    contest = Contest(table, query, _report(table, query, str(cfg.report)), budget)
    strategies = tuple(map(str, cfg.strategies))
    contest.check(strategies, seeds)
    return Setup(contest, strategies, seeds)


def _seeds(given: Any) -> tuple[int, ...]:
    if given is None:
        return tuple(range(SEEDS))
    numbers = list(given) if isinstance(given, ListConfig) else given
    listed = range(numbers) if isinstance(numbers, int) and numbers <= MOST_SEEDS else numbers
    if isinstance(listed, range | list):
        found = tuple(listed)
        whole = all(isinstance(seed, int) and not isinstance(seed, bool) for seed in found)
        if found and whole and min(found) >= 0:
            return found
    raise ConfigError(
        f"seeds must be a number from 1 to {MOST_SEEDS} or a list of whole numbers, got {given}"
    )


def _query(table: Table, cfg: DictConfig) -> Query:
    dataset = None if cfg.dataset is None else str(cfg.dataset)
    split = None if cfg.split is None else str(cfg.split)
    query = query_of(table, str(cfg.metric), dataset, split, cfg.epochs)
    policy = str(cfg.policy)
    if policy == AUTO:
        policy = RANDOM if len(select(table, query).seeds) > 1 else MEAN
    return replace(query, seed=int(policy) if policy.isdecimal() else policy)


def query_of(
    table: Table, metric: str, dataset: str | None, split: str | None, epochs: int | None
) -> Query:
    """The question for a mean over seeds; ``epochs`` None takes the longest training there is."""
    if epochs is None:
        known = [
            column.epochs
            for column in table.columns
            if column.metric == metric
            and split in (None, column.split)
            and dataset in (None, column.dataset)
            and column.epochs is not None
        ]
        epochs = max(known, default=None)
    return Query(metric, dataset, split, epochs, MEAN)


def _report(table: Table, query: Query, split: str) -> Query:
    """The mean over seeds of the longest training on the split that judges."""
    series = select(table, query).column
    wanted: Sequence[str] = ("test", series.split) if split == AUTO else (split,)
    for name in wanted:
        columns = [
            column
            for column in table.columns
            if (column.metric, column.dataset, column.split)
            == (series.metric, series.dataset, name)
        ]
        if columns:
            epochs = max((c.epochs for c in columns if c.epochs is not None), default=None)
            found = Query(series.metric, series.dataset, name, epochs)
            if split != AUTO or select(table, found).complete:
                return found
    if split != AUTO:
        return Query(series.metric, series.dataset, split)  # the check says what there is
    return Query(series.metric, series.dataset, series.split, series.epochs)
