"""The table of a sweep on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nas import console
from nas.analysis.summary import figure, in_words, millions, seconds
from nas.store.pointer import LATEST, pointed_at
from nas.store.sweep import Row, SweepFolder

OWN_COLUMNS = 4
"""So many swept settings get a column each; more of them share one."""


def tell(sweep: SweepFolder, rows: Sequence[Row], *, json: bool) -> None:
    """Print a sweep's table and what comes next, or emit it as JSON."""
    if json:
        console.emit({"sweep": sweep.path, "jobs": [asdict(row) for row in rows]})
        return
    console.say()
    console.say(f"sweep   {sweep.path}: {counted(rows)}")
    keys = swept(rows)
    together = len(keys) > OWN_COLUMNS
    names = ["settings"] if together else [key.lstrip("+").rpartition(".")[2] for key in keys]
    metric = in_words(next((row.metric for row in rows if row.metric), "metric"))
    columns = ("state", f"test {metric}", "validation", "parameters", "MACs", "time")
    console.table((_cells(row, keys, together) for row in rows), [*names, *columns])
    for row in rows:
        if row.message:
            console.say(f"{row.state}  {short(row, keys)}: {row.message}")
    console.say()
    finished = [row for row in rows if row.state == "finished" and row.folder]
    if len(finished) > 1:
        console.say(f"next    nas compare {_name(sweep)}")
    elif finished:
        console.say(f"next    nas show {sweep.runs / finished[0].folder}")
    else:
        console.say("next    the same command goes on with the jobs that are not finished")


def counted(rows: Sequence[Row]) -> str:
    """How many jobs there are, and in which states: ``4 jobs, 3 finished, 1 failed``."""
    states = [row.state for row in rows]
    found = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    return ", ".join([f"{len(rows)} job{'s' if len(rows) != 1 else ''}", *found])


def swept(rows: Sequence[Row]) -> list[str]:
    """The settings that differ between the jobs, in the order of the command."""
    jobs = [_settings(row) for row in rows]
    keys = dict.fromkeys(key for job in jobs for key in job)
    return [key for key in keys if len({job.get(key) for job in jobs}) > 1]


def _settings(row: Row) -> dict[str, str]:
    try:
        words = shlex.split(row.overrides)
    except ValueError:  # brackets and quotes as only Hydra reads them
        words = row.overrides.split()
    pairs = (text.partition("=") for text in words)
    return {key: value for key, equal, value in pairs if equal}


def short(row: Row, keys: Sequence[str]) -> str:
    """Those settings of a job that are among ``keys``; all of them where it has none."""
    job = _settings(row)
    return " ".join(f"{key}={job[key]}" for key in keys if key in job) or row.overrides


def _cells(row: Row, keys: Sequence[str], together: bool) -> list[str]:
    job = _settings(row)
    named = [short(row, keys)] if together else [job.get(key, "") for key in keys]
    values = [figure(row.metric, v) if v is not None else "" for v in (row.test, row.validation)]
    costs = [millions(v) if v is not None else "" for v in (row.parameters, row.macs)]
    time = "" if row.seconds is None else seconds(row.seconds)
    return [*named, row.state, *values, *costs, time]


def _name(sweep: SweepFolder) -> str:
    led = pointed_at(sweep.runs / LATEST) == sweep.path
    return LATEST if led and sweep.runs == Path("runs") else str(sweep.path)
