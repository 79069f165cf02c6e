"""``nas compare``: runs grouped by one setting, paired by seed, and one sentence about them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from nas import console
from nas.analysis.comparison import Comparison, Group, Pair, compare, sentence
from nas.analysis.latex import tabular
from nas.analysis.matching import Entry, Selection, select
from nas.analysis.statistics import Description, Interval
from nas.analysis.summary import PAIRED_SEEDS, in_words, is_share, millions, seconds
from nas.analysis.trade_off import COSTS, TradeOff, trade_off
from nas.cli.look import Look
from nas.errors import NasError
from nas.store.folder import RunFolder, resolve
from nas.store.folder import runs as runs_in
from nas.store.pointer import SWEEPS
from nas.store.record import Record
from nas.store.sweep import find

WIDE = 28
"""Longer names of groups are cut to so many characters in the tables."""


def look(line: Look) -> int:
    """``nas compare [RUNS...] [by=strategy]``."""
    words = line.words or ("latest",)
    folders = gathered(words, line.runs)
    by = line.settings.get("by", "strategy")
    selection = select([Record(folder) for folder in folders], by)
    lost = (*selection.left_out, *_without_run(words, line.runs))
    selection = replace(selection, left_out=lost)
    comparison = compare(selection.entries, selection.higher_is_better)
    verdict = sentence(comparison, by, selection.metric)
    traded = None
    if "front" in line.settings:
        costs = line.settings["front"]
        traded = trade_off(selection.entries, costs, selection.higher_is_better)
    if line.json:
        found = {**asdict(selection), **asdict(comparison), "sentence": verdict}
        console.emit(found if traded is None else {**found, "front": asdict(traded)})
    elif line.latex:
        console.say(latex(selection, comparison, verdict))
    else:
        _print(selection, comparison, traded, verdict)
    return 0


def latex(selection: Selection, comparison: Comparison, verdict: str) -> str:
    """The groups as a table for a paper, what may be said of them as its comment."""
    metric = selection.metric
    unit = " (%)" if is_share(metric) else ""
    heads = (selection.by, "seeds", f"test {in_words(metric)}{unit}", "95 % interval")
    rows = []
    for group in comparison.groups:
        found = group.test
        sd = "" if found.sd is None else f" (sd {value_text(metric, found.sd)})"
        value = f"{value_text(metric, found.mean)}{sd}"
        cells = (group.name, str(found.n), value, _interval(metric, found.interval))
        rows.append((*cells, _mean(metric, group.random)))
    return tabular((*heads, "random, equal cost"), rows, (verdict,))


def gathered(words: Sequence[str], root: str) -> list[RunFolder]:
    """The runs that words name: sweeps, folders of runs, and single ones; each run once.

    Raises:
        NasError: a word names nothing, or a folder without runs.
    """
    found: dict[Path, RunFolder] = {}
    for word in words:
        for folder in _named(word, root):
            found.setdefault(folder.path.resolve(), folder)
    return list(found.values())


def _named(word: str, root: str) -> list[RunFolder]:
    sweep = find(word, root)
    if sweep is not None:
        folders = sweep.folders()
        if not folders:
            raise NasError(f"no job of {sweep.path} has a run yet; {sweep.markdown} says why")
        return folders
    for place in (Path(word).expanduser(), Path(root) / word):
        if place.is_dir() and not RunFolder(place).is_run() and place.parent.name != SWEEPS:
            inside = [run for run, _ in runs_in(place.parent) if run.path.parent == place]
            inside = inside or [run for run, _ in runs_in(place)]
            if inside:
                return sorted(inside, key=lambda run: run.name)
    return [resolve(word, root)]


def _without_run(words: Sequence[str], root: str) -> list[tuple[str, str]]:
    """The jobs of sweeps that have no run, and why."""
    sweeps = [sweep for sweep in (find(word, root) for word in words) if sweep is not None]
    rows = [row for sweep in sweeps for row in sweep.read() if not row.folder]
    return [(row.overrides, f"is {row.state}: {row.message}".rstrip(": ")) for row in rows]


def _print(
    selection: Selection, comparison: Comparison, traded: TradeOff | None, verdict: str
) -> None:
    metric, by = selection.metric, selection.by
    unit = ", %" if is_share(metric) else ""
    rows = (_described(group, metric) for group in comparison.groups)
    heads = (by, "seeds", f"test {in_words(metric)}{unit}", "sd", "95 % interval", "min", "max")
    console.table(rows, heads)
    console.say()
    costs = ("validation" + unit, "parameters", "MACs", "search")
    console.table((_costs(group, metric) for group in comparison.groups), (by, *costs))
    beside = [_beside(group, metric) for group in comparison.groups]
    if any(any(cells[1:]) for cells in beside):
        console.say()
        chosen = f"best of k by validation{unit}"
        console.table(beside, (by, chosen, f"random, equal cost{unit}", "genotypes differ"))
    if traded is not None:
        console.say()
        _print_trade_off(traded, selection)
    if comparison.pairs:
        console.say()
        points = ", points" if is_share(metric) else ""
        columns = ("pair", "seeds", f"difference{points}", "95 % interval", "p", "p, corrected")
        console.table((_paired(pair, metric) for pair in comparison.pairs), columns)
    console.say()
    console.say(f"result  {verdict}")
    for note in selection.notes:
        console.say(f"note    {note}")
    for run, reason in selection.left_out:
        console.say(f"out     {run} {reason}")
    console.say(f"next    {_next(selection, comparison)}")


def _described(group: Group, metric: str) -> list[str]:
    found = group.test
    sd = "" if found.sd is None else value_text(metric, found.sd)
    ends = [value_text(metric, value) for value in (found.least, found.most)]
    mean = value_text(metric, found.mean)
    return [_cut(group.name), str(found.n), mean, sd, _interval(metric, found.interval), *ends]


def _costs(group: Group, metric: str) -> list[str]:
    counts = ["" if v is None else millions(v) for v in (group.parameters, group.macs)]
    time = "" if group.search_seconds is None else seconds(group.search_seconds)
    return [_cut(group.name), _mean(metric, group.validation), *counts, time]


def _beside(group: Group, metric: str) -> list[str]:
    """What a mean is to be seen beside: one lucky seed, chance, and how much seeds agree."""
    best = "" if group.best is None else f"{value_text(metric, group.best.test)} of {group.best.of}"
    distance = "" if group.distance is None else f"{100 * group.distance:.0f} %"
    return [_cut(group.name), best, _mean(metric, group.random), distance]


def _print_trade_off(traded: TradeOff, selection: Selection) -> None:
    metric = selection.metric
    unit = ", %" if is_share(metric) else ""
    rows = [
        [_cut(e.group), str(e.seed), value_text(metric, e.test), *_of_costs(e, traded.costs)]
        for e in traded.front
    ]
    heads = (f"front, {selection.by}", "seed", f"test {in_words(metric)}{unit}", *traded.costs)
    console.table(rows, heads)
    volumes = ", ".join(f"{_cut(name)} {value:.3f}" for name, value in traded.volumes.items())
    console.say(f"hypervolume between the worst and the best of all runs: {volumes}")


def _of_costs(entry: Entry, costs: Sequence[str]) -> list[str]:
    values = [(name, getattr(entry, COSTS[name])) for name in costs]
    return [seconds(value) if name == "search" else millions(value) for name, value in values]


def _paired(pair: Pair, metric: str) -> list[str]:
    found = pair.difference
    named = f"{_cut(pair.one)} - {_cut(pair.other)}"
    ps = ["" if p is None else f"{p:.3g}" for p in (pair.p, pair.corrected)]
    interval = "" if found is None else _interval(metric, found.interval)
    return [named, str(len(pair.seeds)), _mean(metric, found), interval, *ps]


def _mean(metric: str, found: Description | None) -> str:
    return "" if found is None else value_text(metric, found.mean)


def value_text(metric: str, value: float) -> str:
    """A value of a metric below a head that names its unit: shares in percent."""
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4g}"


def _interval(metric: str, interval: Interval | None) -> str:
    return "" if interval is None else " to ".join(value_text(metric, end) for end in interval)


def _cut(name: str) -> str:
    return name if len(name) <= WIDE else f"{name[: WIDE - 3]}..."


def _next(selection: Selection, comparison: Comparison) -> str:
    """More seeds where they are too few, else two of the runs side by side."""
    first, names = selection.entries[0], [group.name for group in comparison.groups]
    few = min(len(group.seeds) for group in comparison.groups) < PAIRED_SEEDS
    if few and len(names) > 1 and selection.command:
        verb, *rest = selection.command
        values, seeds = ",".join(names), ",".join(map(str, range(PAIRED_SEEDS)))
        words = [f"{selection.by}={values}", f"seed={seeds}", *rest]
        return f"nas {verb} -m {shlex.join(words)}"
    other = next((entry for entry in selection.entries if entry.group != first.group), None)
    return f"nas show {first.run}" if other is None else f"nas diff {first.run} {other.run}"
