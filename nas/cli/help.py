"""``nas help`` and ``nas <verb> --help``, read from the verbs and from the config folder.

Neither Hydra nor torch is imported: groups are folders, choices are their files, and the line that
explains a setting is the comment beside it (or above it) in the verb's config file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas import __version__
from nas.cli.paths import shipped_folders
from nas.cli.verbs import VERBS, Verb
from nas.console import console, say, table
from nas.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nas.cli.look import Look

GROUPS = {
    "experiment": "a ready-made combination of the groups below",
    "space": "what can be built",
    "strategy": "how the search goes",
    "compression": "bits, ranks and masks searched along",
    "budget": "upper limits of the found network",
    "task": "what the network learns",
    "data": "what it learns from",
    "optim": "optimizers and learning rates",
    "trainer": "lengths, batch sizes and intervals",
    "cost": "how each cost is computed",
    "predictor": "what predicts accuracy",
    "logger": "where metrics go",
    "preset": "lengths and widths only",
    "debug": "one-word modes for hunting a fault",
}
OPTIONS = (
    ("-m", "run every combination of values such as seed=0,1,2"),
    ("--plan", "show what would run, and stop"),
    ("--json", "print the result as JSON; everything else goes to stderr"),
    ("--quiet", "print only warnings and errors"),
    ("--from RUN", "start from the settings of an earlier run"),
    ("--cfg job", "print every setting and its value, and stop"),
    ("--info", "print where the settings come from, and stop"),
    ("--config-dir DIR", "add a folder of your own configs"),
)
_KEY = re.compile(r"^(\w+):(?:\s[^#\n]*)?(?:\s*#\s*(.*))?$")
_DEFAULTS = re.compile(r"^defaults:[^\n]*\n((?:(?:[ \t]*-|[ \t]+|[ \t]*#)[^\n]*\n|\n)*)", re.M)
_GROUP = re.compile(r"^\s*-\s+(?:optional\s+|override\s+)?/?([\w/]+)(?:@\S+?)?:", re.M)
_INCLUDED = re.compile(r"^\s*-\s+/?(\w+)\s*(?:#.*)?$", re.M)


def main_help() -> None:
    """Print the list of verbs."""
    say("usage: nas VERB [key=value ...] [options]")
    say("       nas VERB --help")
    for kind, title in (("run", "verbs that run"), ("look", "verbs that look")):
        listed = (each for verb in VERBS.values() for each in (verb, *verb.branches))
        say()
        say(title, style="bold")
        table((f"  {verb.name}", verb.help) for verb in listed if verb.kind == kind)
    _examples(VERBS["search"].examples)
    say()
    say(f"nas {__version__}; NAS_DEBUG=1 shows the traceback of an error")


def verb_help(verb: Verb, folders: Sequence[Path] | None = None) -> None:
    """Print usage, groups with their choices, settings, options and examples of a verb."""
    say(f"usage: {verb.usage}")
    say(verb.help)
    if verb.kind == "run":
        folders = folders or shipped_folders()
        _groups(verb, folders)
        _settings(verb, folders[0])
        if verb.looks:
            say()
            say(f"settings of nas {verb.name} {', '.join(verb.looks)}", style="bold")
            table((f"  {name}", text) for name, text in verb.settings)
        say()
        say("options", style="bold")
        shown = [row for row in OPTIONS if verb.plans or row[0] != "--plan"]
        table((f"  {name}", text) for name, text in shown)
    elif verb.name != "help":
        from nas.cli.look import COMMON

        say()
        say("settings (key=value)", style="bold")
        table((f"  {name}", text) for name, text in {**dict(verb.settings), **COMMON}.items())
        say()
        say("options", style="bold")
        table([("  --json", "print JSON")])
    _examples(verb.examples)


def look(line: Look) -> int:
    """``nas help [VERB]``."""
    explain(line.words)
    return 0


def explain(words: Sequence[str]) -> None:
    """Print the help of ``nas help [VERB]``.

    Raises:
        ConfigError: there is no such verb.
    """
    if not words:
        main_help()
        return
    if words[0] not in VERBS:
        raise ConfigError(f"unknown verb {words[0]!r}{nearest(words[0], VERBS)}")
    verb_help(VERBS[words[0]])


def _examples(examples: Iterable[tuple[str, str]]) -> None:
    say()
    say("examples", style="bold")
    table((f"  {line}", text) for line, text in examples)


def _groups(verb: Verb, folders: Sequence[Path]) -> None:
    found = groups(folders)
    used = used_groups(folders[0] / f"{verb.config}.yaml") - set(verb.unused)
    shown = [group for group in sort_groups(found) if group in used]
    if shown:
        say()
        say("groups (group=choice)", style="bold")
    for group in shown:
        known = GROUPS.get(group)
        say(f"  {group}" + (f": {known}" if known else ""))
        _wrapped(found[group], indent="      ")


def _wrapped(words: Sequence[str], indent: str) -> None:
    line = indent
    for word in words:
        if len(line) + len(word) + 1 > console.width and line.strip():
            say(line.rstrip())
            line = indent
        line += f"{word} "
    say(line.rstrip())


def _settings(verb: Verb, folder: Path) -> None:
    rows = [(f"  {key}", text) for key, text in settings(folder, verb.config).items()]
    if rows:
        say()
        say("settings (key=value)", style="bold")
        table(rows)


def groups(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Return the choices of every group (``strategy``, ``strategy/add``, ...) in the folders."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/**/*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            hidden = any(part.startswith("_") for part in (*group.split("/"), file.stem))
            if not group.startswith("hydra") and not hidden:
                found.setdefault(group, set()).add(file.stem)
    return {group: sorted(choices) for group, choices in sorted(found.items())}


def sort_groups(found: Iterable[str]) -> list[str]:
    """Order groups as ``GROUPS`` lists them, subgroups after their parent, unknown ones last."""
    order = {name: index for index, name in enumerate(GROUPS)}
    return sorted(found, key=lambda name: (order.get(name.split("/")[0], len(order)), name))


def used_groups(file: Path) -> set[str]:
    """Return the groups that a config file's defaults list names, its included files' too."""
    if not file.is_file():
        return set()
    defaults = _defaults(file.read_text(encoding="utf-8"))
    used = set(_GROUP.findall(defaults))
    for name in _included(defaults):
        used |= used_groups(file.with_name(f"{name}.yaml"))
    return used | {f"{group}/add" for group in used}


def _defaults(text: str) -> str:
    block = _DEFAULTS.search(text + "\n")
    return block[1] if block else ""


def _included(defaults: str) -> list[str]:
    return [name for name in _INCLUDED.findall(defaults) if name != "_self_"]


def settings(folder: Path, name: str) -> dict[str, str]:
    """Return a verb's settings outside of groups, with the comment of each in its file."""
    file = folder / f"{name}.yaml"
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for included in _included(_defaults(text)):
        found.update(settings(folder, included))
    above = ""
    for line in text.splitlines():
        match = _KEY.match(line)
        # A key named like a group adjusts that group's values and is no setting of its own.
        if match and match[1] not in ("defaults", "hydra") and not (folder / match[1]).is_dir():
            found[match[1]] = match[2] or above or found.get(match[1], "")
        above = line[1:].strip() if line.startswith("# ") and "@package" not in line else ""
    return found
