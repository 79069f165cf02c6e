"""Composes a verb's settings without running anything, to compare what was typed with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.cli.help import groups
from nas.cli.paths import config_dir, shipped_folders, with_search_path

if TYPE_CHECKING:
    from nas.cli.positional import Line

VERSION_BASE = "1.3"


def choices_of(line: Line) -> dict[str, list[str]]:
    """Return the groups and their choices, the user's own folders included."""
    return groups((*shipped_folders(), *line.config_dirs))


def defaults(line: Line) -> DictConfig | None:
    """Compose the verb's settings with the groups that the line chooses, but none of its values.

    Returns None where not even that composes.
    """
    known = choices_of(line)
    chosen = []
    for text in line.overrides:
        key, _, value = text.partition("=")
        if value in known.get(key.lstrip("+"), ()):
            chosen.append(text)
    found = remembered(line, chosen)
    return remembered(line, []) if found is None else found


def is_partial(line: Line, node: str) -> bool:
    """Tell whether a node of the settings, as the groups give it, says ``_partial_: true``."""
    cfg = defaults(line)
    return cfg is not None and OmegaConf.select(cfg, f"{node}._partial_") is True


def composed(line: Line, overrides: Sequence[str], *, hydra: bool = False) -> DictConfig:
    """Compose the verb's settings with ``overrides``, Hydra's own among them if ``hydra``.

    Raises what Hydra and OmegaConf raise.
    """
    found = with_search_path(overrides, line.config_dirs)
    with initialize_config_dir(str(config_dir()), version_base=VERSION_BASE):
        return compose(line.verb.config, overrides=found, return_hydra_config=hydra)


def remembered(line: Line, overrides: Sequence[str]) -> DictConfig | None:
    """Return the verb's settings with ``overrides``, to be read only; None if they do not compose.

    They are composed once in a process, as long as no file changes.
    """
    folders = (*shipped_folders(), *line.config_dirs)
    return _composed_once(line, tuple(overrides), _stamp(folders))


def _stamp(folders: Iterable[Path]) -> tuple[tuple[str, int], ...]:
    """What changes as soon as a config file in the folders does."""
    files = (file for folder in folders for file in sorted(folder.glob("**/*.yaml")))
    return tuple((str(file), file.stat().st_mtime_ns) for file in files)


_MEMORY: dict[Any, DictConfig | None] = {}
_MOST = 64


def _composed_once(
    line: Line, overrides: tuple[str, ...], stamp: tuple[tuple[str, int], ...]
) -> DictConfig | None:
    """Composing takes 0.2 s, and the same groups are asked for by several checks of a line."""
    key = (line.verb.config, overrides, line.config_dirs, stamp)
    if key not in _MEMORY:
        if len(_MEMORY) >= _MOST:
            _MEMORY.clear()
        _MEMORY[key] = _fresh(line, overrides)
    return _MEMORY[key]


def _fresh(line: Line, overrides: Sequence[str]) -> DictConfig | None:
    try:
        return composed(line, overrides)
    except (HydraException, OmegaConfBaseException, ValueError):
        return None
    except Exception as error:
        if type(error).__module__.startswith("yaml"):  # a damaged file: Hydra meets it again
            return None
        raise
