"""Additions to a strategy: ``+strategy/add=[partial_channels,warmup]``, each a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from nas.cli.paths import shipped_folders
from nas.cli.positional import ADDS as GROUP
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.cli.positional import Line

PACKAGE = "# @package strategy"


def check_adds(line: Line) -> None:
    """Check that no two additions of one job set the same key; Hydra would take the last.

    Raises:
        ConfigError: two additions clash, one is named twice, or a file lacks its package.
    """
    for names in _jobs(line):
        if len(set(names)) != len(names):
            raise ConfigError(f"{GROUP}={names} names one addition twice; name each once")
        files = {name: file for name in names if (file := _file(name, line)) is not None}
        keys = {name: set(_keys(_content(file))) for name, file in files.items()}
        for one, other in combinations(files, 2):
            for key in sorted(keys[one]):
                if any(_overlap(key, second) for second in keys[other]):
                    raise ConfigError(
                        f"{GROUP}: {one} and {other} both set strategy.{key}; choose one of them"
                    )


def _jobs(line: Line) -> Iterator[Sequence[str]]:
    """The additions of the line, or of each job of a sweep over them."""
    texts = [text for text in line.overrides if text.lstrip("+").startswith(f"{GROUP}=")]
    try:
        parsed = OverridesParser.create().parse_overrides(texts)
    except HydraException:  # told by Hydra itself
        return
    for item in parsed:
        value = item.value()
        for part in value.list if isinstance(value, ChoiceSweep) else [value]:
            yield [str(name) for name in part] if isinstance(part, list) else [str(part)]


def _file(name: str, line: Line) -> Path | None:
    places = [folder / GROUP / f"{name}.yaml" for folder in (*shipped_folders(), *line.config_dirs)]
    return next((place for place in places if place.is_file()), None)


def _content(file: Path) -> Any:
    text = file.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(PACKAGE):
        raise ConfigError(f"{file} must begin with the line {PACKAGE!r}, to add to the strategy")
    try:
        return OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except Exception:  # damaged YAML: Hydra says so, and is explained
        return {}


def _keys(content: Any, prefix: str = "") -> Iterator[str]:
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" != "defaults":
            yield f"{prefix}{key}"


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
