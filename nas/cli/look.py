"""The line of a look verb taken apart: words, the few settings it takes, its switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import cast

from nas.cli.verbs import Verb
from nas.errors import ConfigError, nearest

COMMON = {
    "runs": "folder of all runs (runs)",
    "plugins": "modules of yours that a run was made with, as [a,b]",
}


@dataclass(frozen=True)
class Look:
    """What was typed after a look verb."""

    words: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    json: bool = False
    latex: bool = False

    def word(self, index: int, default: str = "") -> str:
        """The word at ``index``, or the default where fewer were typed."""
        return self.words[index] if index < len(self.words) else default

    @property
    def runs(self) -> str:
        """The folder of all runs."""
        return self.settings.get("runs", "runs")

    @property
    def plugins(self) -> tuple[str, ...]:
        """The user's modules that may be loaded."""
        text = self.settings.get("plugins", "").strip("[]")
        return tuple(name.strip() for name in text.split(",") if name.strip())


def parse(verb: Verb, args: Sequence[str]) -> Look:
    """Take a look verb's arguments apart; ``name=value`` is a setting, all else are words.

    Raises:
        ConfigError: an unknown option or setting, too few words or too many.
    """
    known = {**COMMON, **dict(verb.settings)}
    switches = ("--json", "--latex") if verb.latex else ("--json",)
    words: list[str] = []
    settings: dict[str, str] = {}
    for word in args:
        key, equal, value = word.partition("=")
        if word in switches:
            continue
        if word.startswith("-") and word != "-":
            raise ConfigError(f"unknown option {word!r}{nearest(word, (*switches, '--help'))}")
        if equal and (key in known or f"{key.partition('.')[0]}.*" in known):
            settings[key] = value
        elif equal and key.isidentifier():
            hint = nearest(key, known) or f"; nas {verb.name} takes {', '.join(known)}"
            raise ConfigError(f"unknown setting {key!r}{hint}")
        else:
            words.append(word)
    least, most = verb.words
    if len(words) > most:
        raise ConfigError(f"unexpected {words[most]!r}; usage: {verb.usage}")
    if len(words) < least:
        raise ConfigError(f"nas {verb.name} needs more words; usage: {verb.usage}")
    return Look(tuple(words), settings, "--json" in args, "--latex" in args)


def run(verb: Verb, args: Sequence[str]) -> int:
    """Run a look verb's line and return its exit status; its module is imported only now."""
    line = parse(verb, args)
    return cast(int, import_module(f"nas.cli.{verb.module or verb.name}").look(line))
