"""Compares the values on the command line with the defaults they replace, type by type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.cli.compose import choices_of, defaults
from nas.cli.own_class import named_nodes
from nas.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nas.cli.positional import Line

_SWITCH, _NUMBER = "true or false", "a number"
# Groups of parts by name, to which one may add.
_OPEN = ("cost", "strategy.schedules", "strategy.transforms")
_LIST, _GROUP = "a list such as [a,b]", "a group of settings"


def check_types(line: Line) -> None:
    """Check the values on a line, those of a sweep too, against the defaults they replace.

    YAML defaults have no declared type, so that Hydra would take ``trainer.epochs=many``, or a
    number in the place of a whole group of settings. What Hydra refuses anyway is left to it.

    Raises:
        ConfigError: a number, a switch, a list or a group of settings became something else.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(line.overrides))
    except HydraException:
        return
    groups = choices_of(line)
    nodes = named_nodes(line.overrides)
    plain = [item for item in parsed if _sets_a_value(item) and item.key_or_group not in groups]
    cfg = defaults(line) if plain or nodes else None
    for node in nodes:
        inner = any(node.startswith(f"{other}.") for other in nodes)
        if cfg is not None and not inner:  # what is inside another class is that class's business
            _check_node(node, cfg, line)
    for item in plain:
        default = None if cfg is None else _default(cfg, item.key_or_group)
        for value in _values(item):
            check_type(item.key_or_group, default, value)


def _check_node(node: str, cfg: DictConfig, line: Line) -> None:
    """ConfigError for a class in the place of nothing, where nothing may be added either."""
    group, parent = node.partition(".")[0], node.rpartition(".")[0]
    if group not in cfg and group in choices_of(line):
        raise ConfigError(f"nas {line.verb.name} does not use the group {group!r}")
    if (parent in _OPEN and group in cfg) or OmegaConf.is_dict(_node(cfg, node)):
        return
    above = _node(cfg, parent) if parent else cfg
    known = [f"{parent}.{key!s}".lstrip(".") for key in (above if OmegaConf.is_dict(above) else ())]
    named = [part for part in known if OmegaConf.is_dict(_node(cfg, part))]
    hint = nearest(node, named) or (f"; there are {', '.join(named)}" if named else "")
    raise ConfigError(f"{node}._target_ replaces no class of the settings{hint}")


def _node(cfg: DictConfig, path: str) -> Any:
    try:
        return OmegaConf.select(cfg, path)
    except OmegaConfBaseException:
        return None


def _sets_a_value(item: Override) -> bool:
    return not (
        item.is_add()
        or item.is_force_add()
        or item.is_delete()
        or item.package
        or item.is_hydra_override()
    )


def _values(item: Override) -> list[Any]:
    """Return the value, or those of a list to choose from; of other sweeps none."""
    value = item.value()
    if isinstance(value, ChoiceSweep):
        return [part for part in value.list if not isinstance(part, Sweep)]
    return [] if isinstance(value, Sweep) else [value]


def _default(cfg: DictConfig, path: str) -> Any:
    """Return the value that a setting would have; None where that is open or cannot be told."""
    try:
        value = OmegaConf.select(cfg, path)
    except OmegaConfBaseException:  # an interpolation of what is not set
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def check_type(key: str, default: object, value: object) -> None:
    """Check one value against its default; null, ``???`` and interpolations allow everything.

    Raises:
        ConfigError: the value is not of the default's kind.
    """
    if _is_open(default) or _is_open(value):
        return
    expected, given = _kind(default), _kind(value)
    if expected is None and given in (_LIST, _GROUP):
        raise ConfigError(f"{key} is a single value such as {default!r}; got {value}")
    if expected is not None and given != expected:
        shown = "''" if value == "" else value
        raise ConfigError(f"{key}={shown} is not {expected} (the default is {_shown(default)})")


def _is_open(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.startswith(("${", "???")))


def _kind(value: object) -> str | None:
    if isinstance(value, bool):
        return _SWITCH
    if isinstance(value, int | float):
        return _NUMBER
    if isinstance(value, dict):
        return _GROUP
    return _LIST if isinstance(value, list) else None


def _shown(default: object) -> str:
    if isinstance(default, dict):
        return "{" + ", ".join(str(key) for key in default) + "}"
    return str(default).lower() if isinstance(default, bool) else str(default)
