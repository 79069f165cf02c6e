"""Which costs are configured, and which of them the budget limits; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from nas.errors import ConfigError, nearest

TABLE = "table"  # the setting of a cost that is computed from a file
NOT_LIMITS = ("weight", "rate")


def limits(cfg: DictConfig) -> dict[str, float]:
    """The limits of the budget that are set, by name of the cost."""
    found = cfg.get("budget", {}).items()
    return {str(k): float(v) for k, v in found if k not in NOT_LIMITS and v is not None}


def configured(costs: Mapping[Any, DictConfig]) -> dict[str, DictConfig]:
    """The nodes of group ``cost`` by name, without those whose ``table`` is null."""
    return {
        str(name): node
        for name, node in costs.items()
        if TABLE not in node or node[TABLE] is not None
    }


def check_limits(cfg: DictConfig) -> dict[str, float]:
    """The limits of the budget that are set, by name of the cost.

    Raises ConfigError for a limit on a cost that is unknown or not configured, with the remedy.
    """
    there = configured(cfg.cost)
    for name, limit in limits(cfg).items():
        if name in cfg.cost and name not in there:
            raise ConfigError(
                f"budget.{name}={limit:g} needs cost.{name}.{TABLE}=FILE; make the file by nas "
                "profile with the space=, data= and preset= of this command"
            )
        if name not in there:
            raise ConfigError(
                f"budget.{name}: no cost has that name; costs are {', '.join(cfg.cost)}"
                f"{nearest(name, there)}"
            )
    return limits(cfg)
