"""Makes a line of ``nas <verb> ...`` into one that Hydra reads.

Words without ``=`` become settings; ``--plan``, ``--json``, ``--quiet`` and ``--from RUN`` are
taken off; values that Hydra's lexer rejects are quoted; and Hydra's own options are put first (its
parser takes no setting after an option that follows another setting).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nas.cli.help import groups
from nas.cli.inherited import inherited, pinned, saved_overrides, without
from nas.cli.kept_architecture import with_choices
from nas.cli.moved import moved
from nas.cli.own_class import named_nodes, replace_classes
from nas.cli.paths import shipped_folders
from nas.cli.settings import runs_of
from nas.cli.verbs import Verb
from nas.errors import ConfigError, nearest
from nas.plugins import granted

ADDS = "strategy/add"
SWITCHES = ("--plan", "--json", "--quiet")
HYDRA_SWITCHES = {
    "-m": "--multirun",
    "-r": "--run",
    "-sc": "--shell-completion",
    "--hydra-help": "--hydra-help",
    "--resolve": "--resolve",
}
HYDRA_VALUES = {
    "-c": "--cfg",
    "-p": "--package",
    "-cd": "--config-dir",
    "-cp": "--config-path",
    "-cn": "--config-name",
}
VALUES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
OPTIONS = (
    *SWITCHES,
    "--from",
    "--help",
    "--info",
    *HYDRA_SWITCHES.values(),
    *HYDRA_VALUES.values(),
)
_UNQUOTED = re.compile(r"[A-Za-z0-9_/\-\\+.$%*@?|:]*")
_CALL = re.compile(r"([A-Za-z_]\w*)\((.*)\)", re.DOTALL)
_KEY = re.compile(r"(?:\+\+|[+~])?[\w$@:./-]+")


@dataclass(frozen=True)
class Line:
    """A line taken apart: Hydra's options, the settings, and what was taken off.

    ``overrides`` hold what is taken over from an earlier run as well, ``typed`` do not.
    """

    verb: Verb
    options: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    command: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()

    @property
    def multirun(self) -> bool:
        """Return whether the line is a sweep."""
        return "--multirun" in self.options

    @property
    def plugins(self) -> list[str]:
        """Return the user's modules that the line allows."""
        return granted(self.overrides)

    @property
    def config_dirs(self) -> tuple[Path, ...]:
        """Return the config directories the user added."""
        pairs = (option.partition("=") for option in self.options)
        return tuple(Path(value) for name, _, value in pairs if name == "--config-dir")


def parse(verb: Verb, args: list[str]) -> Line:
    """Take a run verb's arguments apart.

    Raises:
        NasError: an unknown option, a word too many, or a run that is not there.
    """
    options: list[str] = []
    settings: list[str] = []
    switches: set[str] = set()
    saved: str | None = None
    words = 0
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            words += not _is_setting(word)
            settings.append(_setting(verb, word, words))
        elif word in SWITCHES:
            switches.add(word)
        elif word.partition("=")[0] == "--from":
            saved = _value("--from", word, rest)
        else:
            options.append(_option(word, rest))
    typed = tuple(settings)
    if saved is not None:
        settings = [*without(saved_overrides(saved, runs_of(typed)), typed), *typed]
    if verb.name in ("search", "retrain"):
        settings = with_choices(pinned(settings))
    settings = [*inherited(verb, settings), *settings]
    settings = moved(verb, settings, multirun="--multirun" in options)
    if named_nodes(settings):
        settings = _with_own_classes(Line(verb, tuple(options), tuple(settings)))
    if "--plan" in switches and not verb.plans:
        raise ConfigError(
            f"nas {verb.name} has no plan; --plan goes with search, retrain, bench and bench build"
        )
    if "--plan" in switches:
        settings += ["mode=plan", "hydra.output_subdir=null"]
    return Line(
        verb,
        tuple(options),
        tuple(settings),
        json="--json" in switches,
        quiet="--quiet" in switches,
        command=("nas", *verb.name.split(), *args),
        typed=typed,
    )


def _with_own_classes(line: Line) -> list[str]:
    from nas.cli.compose import is_partial

    return replace_classes(line.overrides, lambda node: is_partial(line, node))


def _value(name: str, word: str, rest: list[str]) -> str:
    _, equal, value = word.partition("=")
    if not equal:
        if not rest:
            raise ConfigError(f"option {name} needs a value")
        value = rest.pop(0)
    return value


def _option(word: str, rest: list[str]) -> str:
    """Return one of Hydra's options with its value attached, taking the value off ``rest``."""
    name = word.partition("=")[0]
    switches = {**HYDRA_SWITCHES, **{long: long for long in HYDRA_SWITCHES.values()}}
    valued = {**HYDRA_VALUES, **{long: long for long in HYDRA_VALUES.values()}}
    if word in switches:
        return switches[word]
    if name in valued:
        long, value = valued[name], _value(valued[name], word, rest)
        return f"{long}={_checked(long, value)}"
    if name in ("-i", "--info"):
        if word == name:
            return f"--info={rest.pop(0) if rest and rest[0] in VALUES['--info'] else 'all'}"
        return f"--info={_checked('--info', _value('--info', word, rest))}"
    if "=" in word:
        setting = word.lstrip("-")
        raise ConfigError(f"unknown option {name!r}; settings have no dashes: {setting}")
    raise ConfigError(f"unknown option {word!r}{nearest(word, OPTIONS)}")


def _checked(option: str, value: str) -> str:
    allowed = VALUES.get(option, (value,))
    if value not in allowed:
        raise ConfigError(f"option {option} is one of {', '.join(allowed)}; got {value!r}")
    return value


def _is_setting(word: str) -> bool:
    key, equal, _ = word.partition("=")
    if not equal:
        return word.startswith("~") and not word.startswith("~/")
    return _KEY.fullmatch(key) is not None and not os.path.exists(os.path.expanduser(word))


def _setting(verb: Verb, word: str, words: int) -> str:
    """Return a word as a setting; the first word without ``=`` is the verb's positional."""
    if _is_setting(word):
        key, equal, value = word.partition("=")
        plus = "+" if key == ADDS else ""  # Hydra adds groups that no file chooses
        return f"{plus}{key}={quote(value)}" if equal else word
    if words == 1 and verb.positional:
        return f"{verb.positional}={quote(word)}"
    meant = [group for group, choices in groups(shipped_folders()).items() if word in choices]
    hint = f"; did you mean {meant[0]}={word}?" if meant else "; settings are written key=value"
    raise ConfigError(f"unexpected {word!r}{hint}")


def quote(value: str) -> str:
    """Quote what Hydra's lexer rejects in a value: ``~/pets``, spaces, umlauts, brackets.

    Lists, dicts, calls such as ``choice(a,b)``, quoted text and interpolations keep their meaning.
    """
    return ",".join(_quote_element(element) for element in _split(value))


def _quote_element(element: str) -> str:
    text = element.strip()
    if _UNQUOTED.fullmatch(text) or text[0] in "{'\"" or "${" in text:
        return element
    if text[0] == "[":
        return f"[{quote(text[1:-1])}]" if text[-1] == "]" else element
    call = _CALL.fullmatch(text)
    if call and "=" not in text:
        return f"{call[1]}({quote(call[2])})"
    if call:
        return element
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _split(value: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    parts, depth, quoted = [""], 0, ""
    for char in value:
        if char == "," and depth == 0 and not quoted:
            parts.append("")
            continue
        parts[-1] += char
        if quoted:
            quoted = "" if char == quoted else quoted
        elif char in "'\"" and not parts[-1][:-1].strip(" ([{,:"):
            quoted = char  # a quote that opens an element; within a word it is an apostrophe
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth = max(0, depth - 1)
    return parts
