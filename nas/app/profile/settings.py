"""The settings of ``nas profile``, checked before anything is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from nas.errors import ConfigError
from nas.schema import EXECUTIONS

LEAST = 4  # networks: two to fit intercept and factor, two to judge them
NETWORKS = {"eager": 40}
OTHERS = 12  # networks of backends that take seconds to prepare one


@dataclass(frozen=True)
class Settings:
    """What is measured how often, on which backend; or where times come from."""

    backend: str
    execution: str
    batch: int
    repeats: int
    networks: int | None
    drift: float
    seed: int
    given: str | None
    name: str | None
    template: str | None

    def count(self, architectures: int) -> int:
        """How many whole networks are timed of a space with that many architectures."""
        if self.csv:
            return 0
        usual = NETWORKS.get(self.backend, OTHERS) if self.given is None else NETWORKS["eager"]
        return min(usual, architectures) if self.networks is None else self.networks

    @property
    def csv(self) -> bool:
        """Whether the times come from a file."""
        return self.given is not None and self.given.endswith(".csv")

    @property
    def label(self) -> str:
        """How the times came about, in a word."""
        return self.backend if self.given is None else "csv" if self.csv else "callable"


def settings(cfg: DictConfig) -> Settings:
    """What the command line asks for.

    Raises ConfigError naming the setting that is not allowed.
    """
    given = None if cfg["from"] is None else str(cfg["from"])
    name = None if cfg.name is None else str(cfg.name)
    if given is None and name is not None:
        raise ConfigError("name= is of the device that from= is about; leave it out")
    if cfg.execution not in EXECUTIONS:
        raise ConfigError(
            f"execution must be one of {', '.join(EXECUTIONS)}, got {cfg.execution!r}"
        )
    if cfg.threads is not None:
        _whole("threads", cfg.threads, 1)
    backend = str(cfg.backend)
    networks = None if cfg.networks is None else _whole("networks", cfg.networks, LEAST)
    drift = cfg.drift
    if isinstance(drift, bool) or not (
        isinstance(drift, int | float) and drift > 0 and math.isfinite(drift)
    ):
        raise ConfigError(f"drift must be a share above 0, such as 0.1, got {drift!r}")
    return Settings(
        backend,
        str(cfg.execution),
        _whole("batch", cfg.batch, 1),
        _whole("repeats", cfg.repeats, 3),
        networks,
        float(drift),
        _whole("seed", cfg.seed, 0),
        given,
        name,
        None if cfg.template is None else str(cfg.template),
    )


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
