"""A user's own modules: which may be loaded, where their configs lie, what their source is.

A package is allowed by the command line or Python (``plugins=[my_lab.space]``), or by being
installed with an entry point in group ``nas.plugins``; never by a config file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nas import console
from nas.errors import ConfigError
from nas.files import as_seen
from nas.store.identity import source_digest

GROUP = "nas.plugins"
CONFIGS = "conf"  # folder of a plug-in's package that is added to the config search path
OURS = ("nas", "search_spaces", "torch", "torchvision")
"""Packages whose version, not source, tells what they compute."""
_LOADED: dict[tuple[Path, ...], str] = {}  # what a process has loaded is what it goes on with
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Plugin:
    """An installed package with an entry point: its name, module and distribution."""

    name: str
    module: str
    distribution: str
    version: str

    @property
    def package(self) -> str:
        """The package that ``_target_`` may name."""
        return top(self.module)

    @property
    def configs(self) -> Path | None:
        """Folder ``conf`` of the innermost package that the module is or lies in; None without."""
        first, *inner = self.module.split(".")
        for place in _folders(first):
            for part in inner:
                place = place / part if (place / part).is_dir() else place
            if (place / CONFIGS).is_dir():
                return place / CONFIGS
        return None


def installed() -> tuple[Plugin, ...]:
    """Every installed plug-in, by name; nothing of theirs is imported."""
    return _installed(tuple(sys.path))


@lru_cache
def _installed(path: tuple[str, ...]) -> tuple[Plugin, ...]:
    found = {_plugin(point) for point in entry_points(group=GROUP)}
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.module)))


def _plugin(point: EntryPoint) -> Plugin:
    dist = point.dist
    name, version = ("", "") if dist is None else (dist.name, dist.version)
    return Plugin(point.name, point.module, name, version)


def config_folders() -> list[Path]:
    """The config folders of the installed plug-ins."""
    return list(dict.fromkeys(p.configs for p in installed() if p.configs is not None))


def packages(plugins: Sequence[str]) -> set[str]:
    """The packages that ``plugins`` and the installed entry points allow."""
    return {top(name) for name in plugins} | {plugin.package for plugin in installed()}


def top(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def check_granted(plugins: Sequence[str], overrides: Sequence[str]) -> None:
    """Raise ConfigError for a plug-in that a config file names and the command does not."""
    for name in map(str, plugins):
        _check_module(name)
    allowed = granted(overrides)
    if unasked := [name for name in map(str, plugins) if name not in allowed]:
        raise ConfigError(
            f"a config file sets plugins=[{','.join(unasked)}], which only the command may; "
            f"if you trust it, add plugins=[{','.join(unasked)}] to the command"
        )


def granted(overrides: Sequence[str]) -> list[str]:
    """The modules that ``plugins=[...]`` among the overrides names."""
    pairs = (text.partition("=") for text in overrides)
    lists = [value for key, _, value in pairs if key.lstrip("+") == "plugins"]
    return [name for value in lists for name in re.findall(r"[^\s\[\],'\"]+", value)]


def importable(plugins: Sequence[str]) -> None:
    """Let the user's modules be found in the folder he is in.

    An installed command, other than ``python -m nas``, does not look there. That folder comes
    last, so that nothing in it hides an installed module. Raises ConfigError for what is no
    module's name, and for a module of that folder which an installed one hides.
    """
    here = os.getcwd()
    if plugins and here not in sys.path:
        sys.path.append(here)
    for name in plugins:
        _check_module(name)
        _check_hidden(top(name), Path(here))


def words(plugins: Sequence[str]) -> str:
    """What the next command needs to load the same modules: `` plugins=[a,b]``, or nothing."""
    return f" plugins=[{','.join(plugins)}]" if plugins else ""


def _check_module(name: str) -> None:
    if not _MODULE.fullmatch(name):
        raise ConfigError(
            f"plugins={name}: modules are named as Python imports them, such as my_lab.space"
        )


def _check_hidden(package: str, here: Path) -> None:
    mine = here / package
    there = any(mine.glob("*.py")) if mine.is_dir() else mine.with_suffix(".py").is_file()
    if not there:
        return
    for place in _places(package):
        if not _is_below(place, here):
            raise ConfigError(
                f"plugins={package}: {mine.name} in this folder is hidden by the installed "
                f"{place}; give yours another name"
            )


def _is_below(place: Path, folder: Path) -> bool:
    return place.resolve().is_relative_to(folder.resolve())


def sources(names: Iterable[str]) -> dict[str, str]:
    """The digest of the source of every package that ``names`` belong to, ours left out.

    Of a package that this process has loaded, it is that of the loaded source. Raises ConfigError
    for a name in none of the folders that Python looks in.
    """
    wanted = sorted({top(name) for name in names} - set(OURS))
    importable(wanted)
    return {package: _digest(package) for package in wanted}


def _digest(package: str) -> str:
    if _spec(package) is None:
        raise ConfigError(
            f"plugins={package}: there is no module {package!r} on the path; "
            "run the command from its folder, or install it"
        )
    places = tuple(place for place in _places(package) if place.exists())
    now = source_digest(*places)
    if package not in sys.modules:
        _LOADED[places] = now
    elif _LOADED.setdefault(places, now) != now:
        _warn_edited(package, now)
    return _LOADED[places]


@lru_cache
def _warn_edited(package: str, digest: str) -> None:  # once for each edit
    console.warn(
        f"{package} was edited after this Python process had loaded it, so the run uses it as it "
        "was; start Python anew to use the new one"
    )


def raised_in(error: BaseException) -> str:
    """``FILE, line N`` of the user's own code that an exception came through; empty if none."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if _is_own(str(frame.f_globals.get("__name__", "")), Path(frame.f_code.co_filename)):
            found = f"{as_seen(frame.f_code.co_filename)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _is_own(module: str, file: Path) -> bool:
    if top(module) in OURS:
        return False
    if top(module) in {plugin.package for plugin in installed()}:
        return True
    return "site-packages" not in file.parts and _is_below(file, Path.cwd())


def targets(settings: Any) -> Iterator[str]:
    """Every ``_target_`` in plain settings, however deep."""
    if isinstance(settings, Mapping):
        if isinstance(settings.get("_target_"), str):
            yield settings["_target_"]
        for value in settings.values():
            yield from targets(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from targets(value)


def _folders(package: str) -> list[Path]:
    return [place for place in _places(package) if place.is_dir()]


def _places(package: str) -> list[Path]:
    """Where a top-level package or module lies; empty where that is in no file."""
    spec = _spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _spec(package: str) -> ModuleSpec | None:
    try:
        return find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module without a spec, such as __main__
        return None
