"""``nas new``: a space or a strategy of the user's own, written into the current folder."""

from __future__ import annotations

import keyword
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from nas import console
from nas.cli.help import groups
from nas.cli.look import Look
from nas.cli.paths import config_dir
from nas.errors import ConfigError, nearest
from nas.files import write_atomic
from nas.plugins import CONFIGS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Kind:
    """What can be written: the words of its check, and what to change in it first."""

    check: str
    change: str


KINDS = {
    "space": Kind(
        "nas space check {name}",
        "OPERATIONS and operation(); the optional methods of a space stand in nas/space.py",
    ),
    "strategy": Kind(
        'python -c "import {name}, nas.testing as t; t.check_strategy({name}.{cls})"',
        "step(), by which policy and weights move; the YAML chooses policy and relaxation",
    ),
}


def look(line: Look) -> int:
    """``nas new space | strategy NAME``."""
    kind, name = line.words
    if kind not in KINDS:
        hint = nearest(kind, KINDS) or f"; nas new makes a {' or a '.join(KINDS)}"
        raise ConfigError(f"unknown kind {kind!r}{hint}")
    targets = {f"{kind}.py": Path(f"{name}.py"), f"{kind}.yaml": _config(kind, name)}
    _check_name(kind, name)
    _check_free(targets.values())
    for template, path in targets.items():
        text = files("nas.templates").joinpath(template).read_text(encoding="utf-8")
        write_atomic(path, filled(text, kind, name))
    _tell(kind, name, [*targets.values()], json=line.json)
    return 0


def filled(text: str, kind: str, name: str) -> str:
    """A template with the user's name, and the class named after it, in the place of ours."""
    names = {f"my_{kind}": name, f"My{kind.capitalize()}": class_name(name)}
    return re.sub("|".join(names), lambda found: names[found[0]], text)


def class_name(name: str) -> str:
    """``my_space`` as a class is called: ``MySpace``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _config(kind: str, name: str) -> Path:
    return Path(CONFIGS) / kind / f"{name}.yaml"


def _check_name(kind: str, name: str) -> None:
    """Raise ConfigError for a name that Python or a command line would not find again."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} cannot name a module; write a letter first, then letters, digits and _, "
            f"e.g. my_{kind}"
        )
    if name in groups((config_dir(),)).get(kind, ()):
        raise ConfigError(f"{kind}={name} is one of ours; choose another name")
    spec = find_spec(name)
    here = Path.cwd()
    if spec is not None and not (spec.origin and Path(spec.origin).is_relative_to(here)):
        raise ConfigError(
            f"there is an installed module {name!r}, which would hide yours; choose another name"
        )


def _check_free(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise ConfigError(
                f"{path} is there already and nothing is overwritten; remove it, or choose "
                "another name"
            )


def _tell(kind: str, name: str, written: list[Path], *, json: bool) -> None:
    check = KINDS[kind].check.format(name=name, cls=class_name(name))
    words = ["nas", "search", "--config-dir", CONFIGS, f"{kind}={name}", f"plugins=[{name}]"]
    search = shlex.join([*words, "preset=smoke"])
    if json:
        told = {"kind": kind, "name": name, "files": written}
        console.emit({**told, "check": check, "search": search})
        return
    console.table([*(("wrote", path) for path in written), ("change", KINDS[kind].change)])
    console.say()
    console.verbatim(f"next  {check}\n      {search}")
