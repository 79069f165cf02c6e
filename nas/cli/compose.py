"""Composes a verb's settings without running anything, to compare what was typed with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nas.cli.help import groups
from nas.cli.paths import config_dir

if TYPE_CHECKING:
    from nas.cli.positional import Line

VERSION_BASE = "1.3"


def choices_of(line: Line) -> dict[str, list[str]]:
    """Return the groups and their choices, the user's own folders included."""
    return groups((config_dir(), *line.config_dirs))


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
    found = _compose(line, chosen)
    return _compose(line, []) if found is None else found


def _compose(line: Line, overrides: Sequence[str]) -> DictConfig | None:
    own = ",".join(f"'file://{folder.resolve()}'" for folder in line.config_dirs)
    search = [f"hydra.searchpath=[{own}]"] if own else []
    try:
        with initialize_config_dir(str(config_dir()), version_base=VERSION_BASE):
            return compose(line.verb.name, overrides=[*overrides, *search])
    except (HydraException, OmegaConfBaseException, ValueError):
        return None
