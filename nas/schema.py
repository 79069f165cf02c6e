"""The typed schema of every group of settings that is not a class's own arguments.

Groups that name a class (``space``, ``data``, ``task``, each ``cost``) have its constructor as
their schema. A file of a user's is held to the same rules as the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.errors import ConfigError, nearest

DEVICES, PRECISIONS = ("auto", "cpu", "cuda"), ("fp32", "bf16")
MEMORY = ("normal", "low", "lowest")
GRAPHS: tuple[str | bool, ...] = ("auto", True, False)
EXECUTIONS = ("auto", "native", "fused", "plain")
STAGES = ("search", "derive", "retrain", "evaluate", "export", "report")
RESUME, MODES, INIT = ("auto", "never", "must", "force"), ("run", "plan"), ("scratch", "inherit")


@dataclass
class Preset:
    """Lengths and widths."""

    epochs: int = MISSING
    channels: int = MISSING
    cells: int = MISSING
    network_epochs: int = MISSING
    network_channels: int = MISSING
    network_cells: int = MISSING
    stage_channels: int = MISSING
    stage_cells: int = MISSING
    mobile_channels: int = MISSING
    queries: int = MISSING
    random_networks: int = MISSING
    samples: int | None = None


@dataclass
class Trainer:
    """Lengths and batches of search and retraining."""

    epochs: int = MISSING
    batch_size: int = MISSING
    network_epochs: int = MISSING
    network_batch_size: int = MISSING
    network_cutout: int = MISSING
    network_clip: float = MISSING
    auxiliary_weight: float = MISSING
    drop_path: float = MISSING
    random_networks: int = MISSING
    macs_tolerance: float = MISSING
    low_rank: dict[str, Any] | None = None


@dataclass
class Strategy:
    """The parts of a search method."""

    partial_channels: int | None = None
    edge_weights: bool = MISSING
    policy: dict[str, Any] = MISSING
    relaxation: dict[str, Any] | None = MISSING
    update: dict[str, Any] | None = MISSING
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    transforms: dict[str, dict[str, Any]] = field(default_factory=dict)
    derivation: dict[str, Any] | None = None
    log_costs: dict[str, float] = field(default_factory=dict)
    curriculum: dict[str, Any] | None = None
    gates: dict[str, Any] | None = None
    rotation: dict[str, Any] | None = None


@dataclass
class Optim:
    """Optimizers of the search's weights, of the architecture, and of the retrained network."""

    weights: dict[str, Any] = MISSING
    weights_schedule: dict[str, Any] = MISSING
    architecture: dict[str, Any] = MISSING
    network: dict[str, Any] = MISSING
    network_schedule: dict[str, Any] = MISSING


@dataclass
class Logger:
    """What is written beside ``metrics.jsonl``."""

    tensorboard: bool = MISSING


@dataclass
class Debug:
    """Modes for hunting a fault."""

    anomaly: bool = MISSING


@dataclass
class Top:
    """What belongs to no group; ``from`` and ``genotype`` name runs and may be any word."""

    seed: int = MISSING
    architecture: str | None = None
    init: str = MISSING
    formats: list[str] = MISSING
    stages: list[str] = MISSING
    device: str = MISSING
    precision: str = MISSING
    execution: str = "auto"
    memory: str = "normal"
    channels_last: bool = False
    cuda_graph: str = "auto"
    compile: bool = MISSING
    threads: int | None = None
    resume: str = MISSING
    fresh: bool = MISSING
    runs: str = MISSING
    mode: str = MISSING
    checkpoint_seconds: float = MISSING
    plugins: list[str] = MISSING


GROUPS: dict[str, type] = {
    "preset": Preset,
    "trainer": Trainer,
    "strategy": Strategy,
    "optim": Optim,
    "logger": Logger,
    "debug": Debug,
}
# Whole numbers stand for settings that must be whole.
LEAST: dict[str, float] = {
    "trainer.epochs": 1,
    "trainer.batch_size": 1,
    "trainer.network_epochs": 1,
    "trainer.network_batch_size": 1,
    "trainer.network_cutout": 0,
    "trainer.network_clip": 0.0,
    "trainer.auxiliary_weight": 0.0,
    "trainer.random_networks": 0,
    "trainer.macs_tolerance": 0.0,
    "threads": 1,
    "checkpoint_seconds": 0.0,
}
ONE_OF: dict[str, tuple[str | bool, ...]] = {
    "device": DEVICES,
    "precision": PRECISIONS,
    "execution": EXECUTIONS,
    "memory": MEMORY,
    "cuda_graph": GRAPHS,
    "resume": RESUME,
    "mode": MODES,
    "init": INIT,
}


def check_settings(cfg: DictConfig) -> None:
    """Hold a composed configuration to the schema.

    Raises:
        ConfigError: naming the setting that is unknown, of the wrong type, or out of range.
    """
    for group, schema in GROUPS.items():
        if group in cfg:
            _check_types(cfg[group], schema, f"{group}.")
    _check_types(cfg, Top, "", closed=False)
    for name, limit in cfg.get("budget", {}).items():
        if limit is not None:
            _check_number(f"budget.{name}", limit, 0.0, above=True)
    for name, least in LEAST.items():
        value = OmegaConf.select(cfg, name)
        if value is not None:
            _check_number(name, value, least)
    _check_words(cfg)


def _check_types(node: Any, schema: type, prefix: str, *, closed: bool = True) -> None:
    known = OmegaConf.structured(schema)
    names = list(map(str, known))  # a key that has no value yet counts as absent from `known`
    name = prefix.rstrip(".")
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{name} is a group of settings ({', '.join(names)}), got {node!r}")
    for key in map(str, node):
        if key not in names:
            if closed:
                hint = nearest(key, names) or f"; {name} has {', '.join(names)}"
                raise ConfigError(f"unknown setting {prefix + key!r}{hint}")
            continue
        value = _resolved(node, key, prefix)
        if isinstance(value, float) and _whole(schema, key):
            raise ConfigError(f"{prefix}{key} must be a whole number, got {value!r}")
        try:
            known[key] = value
        except (OmegaConfBaseException, TypeError) as error:
            kind = _kind(schema, key)
            raise ConfigError(f"{prefix}{key} must be {kind}, got {value!r}") from error


def _resolved(node: DictConfig, key: str, prefix: str) -> Any:
    try:
        value = node[key]
    except OmegaConfBaseException as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"{prefix}{key} cannot be resolved: {reason}") from error
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _whole(schema: type, key: str) -> bool:
    return str(schema.__dataclass_fields__[key].type).startswith("int")  # type: ignore[attr-defined]


def _kind(schema: type, key: str) -> str:
    declared = str(schema.__dataclass_fields__[key].type)  # type: ignore[attr-defined]
    words = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "str": "a word",
        "list": "a list",
        "dict": "a group of settings",
    }
    found = next((text for start, text in words.items() if declared.startswith(start)), declared)
    return f"{found} or null" if "None" in declared else found


def _check_number(name: str, value: Any, least: float, *, above: bool = False) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and least <= value < float("inf")  # so written, NaN fails as well
    if not fits or (above and value == least):
        kind = "a whole number" if isinstance(least, int) else "a number"
        raise ConfigError(
            f"{name} must be {kind} {'above' if above else 'of at least'} {least:g}, got {value!r}"
        )


def _check_words(cfg: DictConfig) -> None:
    for name, words in ONE_OF.items():
        value = cfg.get(name, words[0])
        if value not in [word for word in words if type(word) is type(value)]:  # 1 is not True
            texts = [str(word).lower() if isinstance(word, bool) else word for word in words]
            hint = nearest(str(value), texts)
            raise ConfigError(f"{name} must be one of {', '.join(texts)}, got {value!r}{hint}")
    for name in cfg.get("stages", ()):
        if name not in STAGES:
            hint = nearest(str(name), STAGES)
            raise ConfigError(f"there is no stage {name!r}; they are {', '.join(STAGES)}{hint}")
    if cfg.get("cuda_graph") is True and cfg.get("compile"):
        raise ConfigError(
            "cuda_graph=true captures steps, compile=true may compile them again at any time; "
            "choose one of the two"
        )
    if "trainer" in cfg and not 0 <= cfg.trainer.drop_path < 1:
        raise ConfigError(
            f"trainer.drop_path is a probability from 0 to below 1, got {cfg.trainer.drop_path!r}"
        )
