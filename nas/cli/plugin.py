"""``nas plugin``: the parts of others that are installed, what they add, and whether they load."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from nas import console
from nas.cli.help import groups
from nas.cli.look import Look
from nas.errors import NasError
from nas.plugins import importable, installed


@dataclass(frozen=True)
class Row:
    """One module that may be loaded.

    Attributes:
        name: of the entry point; of a module that was named, the module itself.
        module: as Python imports it.
        package: the distribution and its version; empty for a module that is not installed so.
        configs: the folder that it adds to the config search path, if any.
        adds: choices by config group.
        error: why it does not load, else empty.
    """

    name: str
    module: str
    package: str
    configs: Path | None
    adds: dict[str, list[str]]
    error: str


def look(line: Look) -> int:
    """``nas plugin [plugins=[a,b]]``; the status is 1 if one of them does not load."""
    found = rows(line.plugins)
    failing = [row for row in found if row.error]
    if line.json:
        console.emit({"plugins": [asdict(row) for row in found]})
        return int(bool(failing))
    if found:
        shown = ((row.name, row.module, row.package, _added(row), _state(row)) for row in found)
        console.table(shown, ("name", "module", "package", "adds", "state"))
    else:
        console.say("no package with an entry point in group nas.plugins is installed")
    for row in failing:
        console.say()
        console.say(f"{row.module}: {row.error}")
    console.say()
    console.say(f"next  {_next(found)}")
    return int(bool(failing))


def rows(plugins: tuple[str, ...]) -> list[Row]:
    """A row for each installed plug-in, then for each module that the line names."""
    found = [
        Row(
            plugin.name,
            plugin.module,
            f"{plugin.distribution} {plugin.version}".strip(),
            plugin.configs,
            groups([plugin.configs]) if plugin.configs else {},
            load_error(plugin.module),
        )
        for plugin in installed()
    ]
    return found + [Row(name, name, "", None, {}, load_error(name)) for name in plugins]


def load_error(module: str) -> str:
    """Why a module does not load, or an empty text."""
    try:
        importable([module])
        import_module(module)
    except NasError as error:
        return str(error)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            return f"there is no module {error.name!r} here; run in its folder, or install it"
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # whatever the module's own code raises
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _added(row: Row) -> str:
    return "; ".join(f"{group}={','.join(choices)}" for group, choices in row.adds.items())


def _state(row: Row) -> str:
    return "does not load" if row.error else "loads"


def _next(found: list[Row]) -> str:
    for row in found:
        for group, choices in row.adds.items():
            if not row.error and "/" not in group:
                return f"nas search {group}={choices[0]} --plan"
    named = [row.module for row in found if not row.package and not row.error]
    return f"nas search plugins=[{','.join(named)}] --plan" if named else "nas new space my_space"
