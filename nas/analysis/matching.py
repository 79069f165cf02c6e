"""Which runs may be compared: equal in everything but one setting and the seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.errors import ConfigError, nearest
from nas.store.identity import RUNTIME_KEYS, canonical_json
from nas.store.record import Record
from nas.store.settings import covered, differing

SEED = "seed"
SHOWN = 3  # so many settings are named in a sentence


@dataclass(frozen=True)
class Entry:
    """A run that takes part: the value it stands for, its seed, and what was measured.

    ``random`` is the mean of ``test`` over random networks of equal cost that were retrained alike.
    """

    run: str
    group: str
    seed: int
    test: float
    validation: float | None = None
    parameters: float | None = None
    macs: float | None = None
    search_seconds: float | None = None
    random: float | None = None
    genotype: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Selection:
    """The runs that can be compared, those left out with the reason, and what else to know.

    ``command`` are verb and settings that all runs have, or nothing where that is not known.
    """

    by: str
    metric: str
    higher_is_better: bool
    entries: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    command: tuple[str, ...] = ()


def select(records: Sequence[Record], by: str) -> Selection:
    """Choose the runs that differ in nothing but ``by`` and the seed.

    ``by`` is a config group or a dotted setting. Where the runs differ in other settings too, the
    largest set that does not is taken. Settings that follow from ``by``, such as those of an
    experiment's file, may differ and are noted.

    Raises:
        ConfigError: no run has a result, they have different data or metrics, ``by`` is no
            setting of theirs, or two sets of equal size differ in something else.
    """
    if by == SEED:
        raise ConfigError("seeds are what pairs the runs; by= takes another setting")
    left_out: list[tuple[str, str]] = []
    usable = [record for record in records if not _set_aside(record, by, left_out)]
    known = {name for record in records for name in (*record.choices, *record.settings)}
    if known and by not in known:
        raise ConfigError(f"no run has a setting {by!r}{nearest(by, known)}")
    if not usable:
        reason = f"; {left_out[0][0]} {left_out[0][1]}" if left_out else ""
        raise ConfigError(f"none of these {len(records)} runs can be compared{reason}")
    _check_alike(usable)
    chosen = _of_one_kind(_largest(_blocks(usable, by), by), by)
    for record in usable:
        if record not in chosen:
            left_out.append((record.folder.label, _difference(record, chosen, by)))
    newest = _newest(chosen, by, left_out)
    entries = tuple(_entry(record, by) for record in newest)
    first = usable[0]
    notes = (*_following(newest, by), *_sources(newest), *_smoke(newest))
    command = _command(newest, by)
    better = first.higher_is_better
    return Selection(by, first.metric, better, entries, tuple(left_out), notes, command)


def value_of(record: Record, by: str) -> str | None:
    """The choice in group ``by``, or the value of the setting; None where the run has neither."""
    if by in record.choices:
        return record.choices[by]
    return str(record.settings[by]) if by in record.settings else None


def _set_aside(record: Record, by: str, left_out: list[tuple[str, str]]) -> bool:
    state, reason = record.status.state, ""
    if state != "finished":
        reason = f"is {state}"
    elif record.figure("test") is None:
        reason = "has no test result"
    elif value_of(record, by) is None:
        reason = f"has no setting {by!r}"
    elif not isinstance(record.settings.get(SEED), int):
        reason = "has no seed"
    if reason:
        left_out.append((record.folder.label, reason))
    return bool(reason)


def _check_alike(records: Sequence[Record]) -> None:
    first = records[0]
    for other in records[1:]:
        names = f"{first.folder.label} and {other.folder.label}"
        if other.metric != first.metric:
            raise ConfigError(
                f"{names} have different metrics ({first.metric} and {other.metric}); "
                "compare runs of one task"
            )
        if other.env.get("data") != first.env.get("data"):
            raise ConfigError(
                f"{names} have different data ({_of_data(first, other)}); compare runs on the "
                "same data and splits"
            )


def _of_data(one: Record, other: Record) -> str:
    found = differing(one.settings, other.settings)
    named = {name: pair for name, pair in found.items() if covered(name, ["data"])}
    return _named(named) or "the stored files themselves"


def _named(found: dict[str, tuple[object, object]]) -> str:
    texts = [f"{name} {a} and {b}" for name, (a, b) in list(found.items())[:SHOWN]]
    more = len(found) - SHOWN
    return ", ".join([*texts, *([f"and {more} more"] if more > 0 else [])])


def _blocks(records: Sequence[Record], by: str) -> list[list[Record]]:
    """Sets of runs whose commands, or whose settings, are equal but for ``by`` and the seed."""
    blocks: list[tuple[set[str], list[Record]]] = []
    for record in records:
        marks = {_settings_mark(record, by), *_command_mark(record, by)}
        members = [record]
        rest = []
        for known, inside in blocks:
            if known & marks:
                marks, members = marks | known, [*inside, *members]
            else:
                rest.append((known, inside))
        blocks = [*rest, (marks, members)]
    return [members for _, members in blocks]


def _settings_mark(record: Record, by: str) -> str:
    without = (*RUNTIME_KEYS, SEED, by)
    return canonical_json({k: v for k, v in record.settings.items() if not covered(k, without)})


def _command_mark(record: Record, by: str) -> list[str]:
    given = _given(record, (*RUNTIME_KEYS, SEED, by))
    return [] if given is None else [canonical_json([given[0], *sorted(given[1:])])]


def _given(record: Record, without: Sequence[str]) -> list[str] | None:
    """The verb and the settings that a run's command gave; None where that is not recorded."""
    given, command = record.env.get("overrides"), record.env.get("command")
    if not isinstance(given, list) or not isinstance(command, list) or len(command) < 2:
        return None
    keys = [(re.sub("[/@]", ".", str(text).partition("=")[0].lstrip("+~")), text) for text in given]
    return [str(command[1]), *(str(text) for key, text in keys if not covered(key, without))]


def _command(records: Sequence[Record], by: str) -> tuple[str, ...]:
    commands = [_given(record, (SEED, by)) for record in records]
    first = commands[0]
    if first is None or any(other is None or set(other) != set(first) for other in commands):
        return ()
    return tuple(first)


def _largest(blocks: Sequence[list[Record]], by: str) -> list[Record]:
    def worth(block: list[Record]) -> int:
        return len({(value_of(record, by), record.settings[SEED]) for record in block})

    order = sorted(blocks, key=worth, reverse=True)
    if len(order) > 1 and worth(order[0]) == worth(order[1]):
        one, other = order[0][0], order[1][0]
        found = _unequal(one, other, by)
        groups = [g for g in one.choices if one.choices[g] != other.choices.get(g) and g != by]
        instead = next(iter([*groups, *found]), "")
        raise ConfigError(
            f"besides {by}, the runs differ in {_named(found) or 'settings that follow the seed'}, "
            "in sets of equal size; name the runs of one set"
            + (f", or compare by={instead}" if instead else "")
        )
    return order[0]


def _unequal(one: Record, other: Record, by: str) -> dict[str, tuple[object, object]]:
    """What differs besides ``by``; settings that follow the seed do not count."""
    found = differing(one.settings, other.settings, (*RUNTIME_KEYS, SEED, by))
    seeds = (one.settings.get(SEED), other.settings.get(SEED))
    return {name: pair for name, pair in found.items() if pair != seeds}


def _of_one_kind(block: Sequence[Record], by: str) -> list[Record]:
    """In each group the runs that have the settings of its newest: files change between runs."""
    newest: dict[str | None, Record] = {}
    for record in sorted(block, key=lambda record: record.status.updated):
        newest[value_of(record, by)] = record
    return [record for record in block if not _unequal(record, newest[value_of(record, by)], by)]


def _difference(record: Record, chosen: Sequence[Record], by: str) -> str:
    """Why a run is not in the set: what it has that the most similar run of the set has not."""
    least = min((_unequal(record, other, by) for other in chosen), key=len)
    name, (there, here) = next(iter(least.items()), (by, ("?", "?")))
    more = f", and {len(least) - 1} more settings differ" if len(least) > 1 else ""
    return f"has {name} {there} and not {here}{more}"


def _newest(records: Sequence[Record], by: str, left_out: list[tuple[str, str]]) -> list[Record]:
    kept: dict[tuple[str | None, int], Record] = {}
    for record in sorted(records, key=lambda record: record.status.updated):
        key = (value_of(record, by), record.settings[SEED])
        if key in kept:
            older = kept[key].folder.label
            left_out.append((older, f"has the seed and {by} of {record.folder.label}, a newer run"))
        kept[key] = record
    return [record for record in records if record in kept.values()]


def _entry(record: Record, by: str) -> Entry:
    test = record.figure("test")
    assert test is not None
    return Entry(
        record.folder.label,
        str(value_of(record, by)),
        int(record.settings[SEED]),
        test,
        record.figure("validation"),
        record.count("parameters"),
        record.count("macs"),
        record.search_seconds,
        record.random,
        record.genotype,
    )


def _following(records: Sequence[Record], by: str) -> list[str]:
    """Say which settings differ between the groups together with ``by``."""
    first = {value_of(record, by): record for record in reversed(records)}
    one, *others = first.values()
    listed = list(dict.fromkeys(name for other in others for name in _unequal(one, other, by)))
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return [f"with {by} also differ: {', '.join(listed[:SHOWN])}{more}"] if listed else []


def _sources(records: Sequence[Record]) -> list[str]:
    digests = {str(record.env.get("source", "unknown"))[:4] for record in records}
    texts = ", ".join(sorted(digests))
    return [f"the runs were made by {len(digests)} versions of the code ({texts})"] * (
        len(digests) > 1
    )


def _smoke(records: Sequence[Record]) -> list[str]:
    smoke = any(record.choices.get("preset") == "smoke" for record in records)
    return ["preset=smoke shows that everything runs; its figures mean nothing"] if smoke else []
