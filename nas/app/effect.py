"""Settings that were typed but would change nothing: refused, instead of believed to act.

Settings of stages that are not to run are no such ones: they name the run that a later command,
with further ``stages``, goes on with.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from nas.app.config import plain
from nas.app.limits import limits
from nas.errors import ConfigError
from nas.instantiate import loaded, target_of
from nas.store.settings import covered

SEARCH_ONLY = (
    "strategy",
    "budget",
    "from",
    "architecture",
    "memory",
    "optim.weights",
    "optim.weights_schedule",
    "optim.architecture",
    "trainer.epochs",
    "trainer.batch_size",
    "preset.epochs",
    "preset.channels",
    "preset.cells",
    "preset.queries",
)
"""What a retraining never reads."""
SUPERNET_PARTS = (
    *("partial_channels", "edge_weights", "policy", "relaxation"),
    *("schedules", "transforms", "curriculum", "gates", "rotation"),
)
"""Parts of a strategy that are read where a supernet is trained, and nowhere else."""
NO_SUPERNET = "this strategy trains no supernet; leave it out, or choose another such as "
NO_SUPERNET += "strategy=spos"


@dataclass(frozen=True)
class Idle:
    """Settings that have no effect where ``when`` holds, and what to do instead.

    In a sweep over strategies a setting may be meant for another one of its jobs.
    """

    keys: Sequence[str]
    when: Callable[[DictConfig, str], bool]
    why: str
    in_sweeps: bool = True


RULES = (
    Idle(
        SEARCH_ONLY,
        lambda cfg, verb: verb == "retrain",
        "nas retrain searches nothing; its own settings are trainer.network_* and optim.network*",
    ),
    Idle(
        (*SEARCH_ONLY, "trainer.random_networks", "preset.random_networks"),
        lambda cfg, verb: verb == "bench_build",
        "nas bench build searches nothing and trains n architectures; its own settings are "
        "trainer.network_* and optim.network*",
    ),
    Idle(
        ("preset.channels", "preset.cells"),
        lambda cfg, verb: cfg.get("architecture") is not None,
        "architecture= is searched at the size that is retrained; set preset.network_channels or "
        "preset.network_cells",
    ),
    Idle(
        ("trainer.macs_tolerance",),
        lambda cfg, verb: int(cfg.trainer.random_networks) == 0,
        "no random networks are trained; set trainer.random_networks, or leave it out",
    ),
    Idle(
        ("budget.weight", "budget.rate"),
        lambda cfg, verb: not limits(cfg) and not cfg.strategy.get("rotation"),
        "the budget has no limit; set one such as budget.params=2e5, or leave it out",
    ),
    Idle(
        tuple(key for key in SEARCH_ONLY if key not in ("strategy", "budget")),
        lambda cfg, verb: verb == "search" and not trains(cfg),
        NO_SUPERNET,
        in_sweeps=False,
    ),
    Idle(
        tuple(f"strategy.{part}" for part in SUPERNET_PARTS),
        lambda cfg, verb: verb == "search" and not trains(cfg),
        NO_SUPERNET,
        in_sweeps=False,
    ),
    Idle(
        ("optim.architecture",),
        lambda cfg, verb: verb == "search" and not learns(cfg),
        "this strategy learns no architecture parameters; leave it out",
        in_sweeps=False,
    ),
    Idle(
        ("budget.rate",),
        lambda cfg, verb: cfg.get("budget", {}).get("weight") is not None,
        "budget.weight fixes the weight of the limits; leave one of the two out",
    ),
    Idle(
        ("budget.weight", "budget.rate"),
        lambda cfg, verb: verb == "search" and not learns(cfg),
        "this strategy rejects what is over the budget and weighs no penalty; leave it out",
        in_sweeps=False,
    ),
)


def trains(cfg: DictConfig) -> bool:
    """Whether the strategy trains a supernet; one that lacks its update is refused elsewhere."""
    return cfg.strategy.get("update", {}) is not None


def learns(cfg: DictConfig) -> bool:
    """Whether the strategy's update moves architecture parameters: it asks for their optimizer."""
    update = cfg.strategy.get("update")
    if not update or "_target_" not in update:
        return False
    known = inspect.signature(loaded(target_of(update), cfg.plugins)).parameters
    asked = known.get("architecture_optimizer")
    return asked is not None and asked.default is inspect.Parameter.empty


def check_effect(cfg: DictConfig, verb: str, typed: Sequence[str], sweep: bool = False) -> None:
    """Raise ConfigError naming a typed setting that would have no effect, and what would."""
    for text in typed:
        key = text.partition("=")[0].lstrip("+~").replace("/", ".")  # additions are of a strategy
        trained = verb == "search" and (sweep or trains(cfg)) and not cfg.get("architecture")
        if not trained and key in supernet_arguments(cfg):
            raise ConfigError(f"{key} would have no effect: it shapes the supernet of a search")
        for rule in RULES:
            asked = rule.in_sweeps or not sweep
            if asked and covered(key, rule.keys) and rule.when(cfg, verb):
                raise ConfigError(f"{key} would have no effect: {rule.why}")
    if verb == "search" and not sweep:
        for part, why in unread(cfg):
            raise ConfigError(f"strategy.{part} would have no effect: {why}")


def unread(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Parts of the strategy that are set and that nothing reads, each with the reason.

    However they came: typed, by an addition, or in a file of the user's own.
    """
    strategy = plain(cfg)["strategy"]
    update = strategy.get("update", "")
    if update is None:
        yield from ((part, NO_SUPERNET) for part in SUPERNET_PARTS if strategy.get(part))
    elif isinstance(update, dict) and "_target_" not in update:
        why = "the update it belongs to is not there (no _target_); leave it out, or choose a "
        why += "strategy that trains a supernet, such as strategy=spos"
        yield from ((f"update.{name}", why) for name in update)
    elif strategy.get("schedules") and strategy.get("relaxation") is None:
        yield "schedules", "this strategy has no relaxation to change; leave it out"


def supernet_arguments(cfg: DictConfig) -> list[str]:
    """The space's settings that shape its supernet alone, as the class itself says."""
    space = loaded(target_of(cfg.space), cfg.plugins)
    return [f"space.{name}" for name in getattr(space, "supernet_arguments", ())]


def without_search(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings without those that a retraining never reads: no part of its identity."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if not covered(name, SEARCH_ONLY):
            nested = isinstance(value, Mapping)
            found[key] = without_search(value, f"{name}.") if nested else value
    return found
