"""Config folders that are not ours: a file may hide no other, and none may run code in Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from nas.cli.compose import choices_of, composed
from nas.cli.paths import shipped_folders
from nas.errors import ConfigError
from nas.plugins import packages, targets, top

if TYPE_CHECKING:
    from nas.cli.positional import Line

_HYDRA = {"hydra", "hydra_plugins"}
_CHOICE = re.compile(r"\+*([\w/]+)=([\w-]+)")


def check_folders(line: Line) -> None:
    """Check the folders that the user added with ``--config-dir``, and those of plug-ins.

    Raises:
        ConfigError: a folder is missing; two files have one name, of which Hydra would take the
            first; or a file names code that Hydra itself would run.
    """
    for folder in line.config_dirs:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {folder}: there is no such folder")
    _check_hidden(line)
    if line.config_dirs:
        _check_hydra(line)


def _check_hidden(line: Line) -> None:
    shipped = shipped_folders()
    folders = [*shipped, *line.config_dirs]
    for folder in shipped if line.config_dirs else ():
        for file in sorted(folder.glob("**/*.yaml")):
            _check_one(file.relative_to(folder), [folder, *line.config_dirs])
    for text in line.overrides:  # two plug-ins with one name matter only to who chooses it
        if match := _CHOICE.fullmatch(text):
            _check_one(Path(match[1], f"{match[2]}.yaml"), folders)


def _check_one(name: Path, folders: Sequence[Path]) -> None:
    found = [folder / name for folder in folders if (folder / name).is_file()]
    if len({file.resolve() for file in found}) > 1:
        raise ConfigError(f"{found[1]} is hidden by {found[0]}; give it another name")


def _check_hydra(line: Line) -> None:
    """Hydra runs what its own settings name before our first line: callbacks, loggers, sweepers."""
    allowed = packages(line.plugins) | _HYDRA
    for overrides in _single_jobs(line):
        try:
            cfg = composed(line, overrides, hydra=True)
        except Exception:  # Hydra will say it again, and there it is explained
            continue
        node: Any = OmegaConf.to_container(cfg.hydra, resolve=False)
        for name in (*targets(node), *_factories(node.get("job_logging"))):
            if top(name) not in allowed:
                raise ConfigError(
                    f"a config file makes Hydra call {name!r}; if you trust it, "
                    f"add plugins=[{name.rpartition('.')[0] or name}] to the command"
                )


def _factories(node: Any) -> Iterator[str]:
    """What a logging configuration calls: ``()`` and ``class``, of logging itself left out."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in ("()", "class") and not str(value).startswith("logging."):
            yield str(value)
        yield from _factories(value)


def _single_jobs(line: Line) -> Iterator[list[str]]:
    """The overrides of the line, or, of a sweep, one list for each value of each choice."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(line.overrides))
    except HydraException:  # told by Hydra itself
        return
    fixed = [str(item.input_line) for item in parsed if not item.is_sweep_override()]
    yield fixed
    for item in parsed:
        if item.is_sweep_override():
            key = str(item.input_line).partition("=")[0]
            yield from ([*fixed, f"{key}={value}"] for value in _swept(item, line))


def _swept(item: Override, line: Line) -> list[str]:
    """The values of a sweep; every choice of the group where it does not list them."""
    value, choices = item.value(), choices_of(line).get(item.key_or_group, [])
    if isinstance(value, ChoiceSweep):
        return [str(part) for part in value.list]
    return value.filter(choices) if isinstance(value, Glob) else choices
