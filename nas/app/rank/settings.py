"""The settings of ``nas rank``, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nas.benchmarks import Query, Table
from nas.benchmarks.query import Series, select
from nas.benchmarks.registry import load
from nas.decision import Decision
from nas.errors import ConfigError

LEAST = 5  # architectures; ranks of fewer say nothing


@dataclass(frozen=True)
class Settings:
    """How many architectures are trained, for how long, and by how many processes."""

    n: int
    epochs: int
    seed: int
    jobs: int
    recalibrate: int


def settings(cfg: DictConfig, saved: DictConfig) -> Settings:
    """What the command line asks of the run whose settings are ``saved``.

    Raises ConfigError naming the setting that is not allowed.
    """
    epochs = saved.trainer.network_epochs if cfg.epochs is None else cfg.epochs
    return Settings(
        _whole("n", cfg.n, LEAST),
        _whole("epochs", epochs, 1),
        _whole("seed", cfg.seed, 0),
        _whole("jobs", cfg.jobs, 1),
        _whole("recalibrate", cfg.recalibrate, 0),
    )


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


@dataclass(frozen=True)
class Published:
    """The column of a table that architectures are compared with."""

    table: Table
    series: Series


def published(cfg: DictConfig, decisions: Mapping[str, Decision]) -> Published | None:
    """The mean over seeds of the longest training on validation in the table that is named.

    Raises ConfigError for a table of another space, NasError for one that is not there.
    """
    if cfg.table is None:
        return None
    table = load(str(cfg.table), Path(str(cfg.root)).expanduser())
    if {n: d.candidates for n, d in table.space.by_name.items()} != {
        name: decision.candidates for name, decision in decisions.items() if name in _taken(table)
    }:
        raise ConfigError(
            f"table {table.name} is of space {table.space.name!r}, whose decisions are others than "
            "those of the run; leave table out, or rank a run on that space"
        )
    dataset = None if cfg.dataset is None else str(cfg.dataset)
    known = [
        column.epochs
        for column in table.columns
        if column.metric == "accuracy"
        and column.split == "validation"
        and dataset in (None, column.dataset)
        and column.epochs is not None
    ]
    query = Query("accuracy", dataset, "validation", max(known, default=None))
    return Published(table, select(table, query))


def _taken(table: Table) -> set[str]:
    return set(table.space.by_name)
