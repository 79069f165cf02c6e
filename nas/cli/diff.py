"""``nas diff``: what differs between two runs, or two genotypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas import console
from nas.analysis.summary import figure, in_words, millions, seconds
from nas.cli.look import Look
from nas.errors import NasError
from nas.genotype import GenotypeFile, load
from nas.store.folder import resolve
from nas.store.record import Record
from nas.store.settings import ABSENT, differing

WIDE = 34
"""Longer values are cut to so many characters in the tables."""

Differences = dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Side:
    """A run or a genotype file; either may lack what the other has."""

    name: str
    record: Record | None
    genotype: GenotypeFile | None


@dataclass(frozen=True)
class Difference:
    """Everything in which two sides differ, and their results."""

    settings: Differences = field(default_factory=dict)
    environment: Differences = field(default_factory=dict)
    genotype: Differences = field(default_factory=dict)
    decisions: int = 0
    results: Differences = field(default_factory=dict)


def look(line: Look) -> int:
    """``nas diff ONE OTHER``."""
    one, other = (_side(word, line.runs) for word in line.words)
    found = diff(one, other)
    if line.json:
        console.emit(
            {
                "one": one.name,
                "other": other.name,
                "settings": found.settings,
                "environment": found.environment,
                "genotype": {"decisions": found.decisions, "differing": found.genotype},
                "results": found.results,
            }
        )
    else:
        _print(one, other, found)
    return 0


def _side(word: str, runs: str) -> Side:
    path = Path(word).expanduser()
    if path.suffix == ".json" and not path.is_dir():
        return Side(word, None, load(path))
    folder = resolve(word, runs)
    genotype = load(folder.genotype) if folder.genotype.is_file() else None
    return Side(folder.label, Record(folder), genotype)


def diff(one: Side, other: Side) -> Difference:
    """Compare two sides.

    Raises:
        NasError: one of them has neither settings nor a genotype to compare with the other.
    """
    genotypes = one.genotype is not None and other.genotype is not None
    if (one.record is None or other.record is None) and not genotypes:
        empty = one if one.genotype is None else other
        raise NasError(f"{empty.name} has no genotype yet; name a run that has derived one")
    choices, decisions = _choices(one.genotype, other.genotype)
    if one.record is None or other.record is None:
        return Difference(genotype=choices, decisions=decisions)
    settings = differing(one.record.settings, other.record.settings)
    environment = differing(_surroundings(one.record), _surroundings(other.record))
    left, right = _results(one.record), _results(other.record)
    results = {
        name: (left.get(name), right.get(name))
        for name in dict.fromkeys((*left, *right))
        if left.get(name) is not None or right.get(name) is not None
    }
    return Difference(settings, environment, choices, decisions, results)


def _choices(one: GenotypeFile | None, other: GenotypeFile | None) -> tuple[Differences, int]:
    """The decisions that differ, and how many decisions there are in either."""
    if one is None or other is None:
        return {}, 0
    left, right = one.choices, other.choices
    names = dict.fromkeys((*left, *right))
    pairs = {name: (left.get(name, ABSENT), right.get(name, ABSENT)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}, len(names)


def _surroundings(record: Record) -> dict[str, Any]:
    """What of the machine and the programs can change a result."""
    env = record.env
    git, packages = _part(env, "git"), _part(env, "packages")
    return {
        "data fingerprint": env.get("data"),
        "code": env.get("source"),
        "later code": ", ".join(map(str, env.get("later_sources") or ())),
        "git revision": git.get("revision"),
        "python": env.get("python"),
        "torch": packages.get("torch"),
        "devices": ", ".join(map(str, env.get("devices") or ())),
    }


def _part(env: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = env.get(name)
    return found if isinstance(found, Mapping) else {}


def _results(record: Record) -> dict[str, Any]:
    metric = in_words(record.metric or "metric")
    return {
        "state": record.status.state,
        f"test {metric}": record.figure("test"),
        f"validation {metric}": record.figure("validation"),
        "parameters": record.count("parameters"),
        "MACs": record.count("macs"),
        "search seconds": record.search_seconds,
    }


def _print(one: Side, other: Side, found: Difference) -> None:
    console.table([("one", one.name), ("other", other.name)])
    for head, part in (
        ("setting", found.settings),
        ("environment", found.environment),
        (f"decision ({len(found.genotype)} of {found.decisions} differ)", found.genotype),
    ):
        if part:
            console.say()
            rows = ((name, *(_text(value) for value in pair)) for name, pair in part.items())
            console.table(rows, (head, "one", "other"))
    if not (found.settings or found.environment or found.genotype):
        console.say()
        console.say("nothing differs: neither settings nor environment nor genotype")
    if found.results:
        metrics = [side.record.metric for side in (one, other) if side.record is not None]
        console.say()
        rows = (
            (
                name,
                *(
                    _result(name, value, metric)
                    for value, metric in zip(pair, metrics, strict=True)
                ),
            )
            for name, pair in found.results.items()
        )
        console.table(rows, ("result", "one", "other"))
    console.say()
    console.say(f"next  nas show {other.name}")


def _text(value: Any) -> str:
    listed = isinstance(value, list | tuple)
    text = ", ".join(map(str, value)) if listed else "null" if value is None else str(value)
    return text if len(text) <= WIDE else f"{text[: WIDE - 3]}..."


def _result(name: str, value: Any, metric: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if name in ("parameters", "MACs"):
        return millions(value)
    if name == "search seconds":
        return seconds(value)
    return figure(metric, value)
