"""``nas bench run``: all searches, then its files, all at once, and the closing table."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas import console
from nas.analysis.regret import regret_figure
from nas.analysis.svg import svg_bytes
from nas.app.bench.outcome import Outcome, outcome, record, sentence
from nas.app.bench.settings import Setup, setup
from nas.benchmarks.query import select
from nas.benchmarks.trials import Trajectory, search
from nas.files import as_seen, jsonable, sha256, write_atomic, write_json
from nas.store.identity import canonical_json

NOT_IDENTITY = ("runs", "root", "mode", "action")


def bench(cfg: DictConfig) -> float | None:
    """Run the contest that the settings describe; returns nothing that a sweeper may choose by.

    Raises NasError for a setting that is not allowed, or a table that is not there.
    """
    made = setup(cfg)
    console.table(_plan(made))
    if cfg.mode == "plan":
        _estimate(made)
        return None
    began = time.perf_counter()
    found = outcome(made, _paths(made))
    folder = as_seen(Path(str(cfg.runs)) / "bench" / f"{made.contest.table.name}-{_id(cfg)}")
    result = record(made, found)
    _write(folder, cfg, found, result)
    _close(made, found, folder, time.perf_counter() - began)
    console.emit_if_wanted({"folder": folder, **result})
    return None


def _plan(made: Setup) -> list[tuple[str, str]]:
    contest = made.contest
    seen, judge = select(contest.table, contest.query), select(contest.table, contest.report)
    limits = {"queries": contest.budget.queries, "s of training": contest.budget.seconds}
    budget = " or ".join(f"{value:g} {name}" for name, value in limits.items() if value)
    return [
        ("plan", f"{', '.join(made.strategies)} on {contest.table.name}"),
        ("searches", f"{len(made.strategies)} x {len(made.seeds)} seeds, {budget} each"),
        ("score", f"{seen.column.text}, seed policy {contest.query.seed}"),
        ("judged by", f"{judge.column.text}, mean over seeds"),
        *(("note", note) for note in (*notes(made), *contest.table.notes)),
    ]


def notes(made: Setup) -> tuple[str, ...]:
    """What flatters the figures of a contest."""
    contest = made.contest
    seen, judge = select(contest.table, contest.query), select(contest.table, contest.report)
    found = []
    if seen.column.split == judge.column.split:
        found.append("judged by the split that the searches see: a lucky choice looks good")
    table = contest.table
    if not (table.complete and seen.complete):
        found.append(
            f"{seen.known.sum()} of {table.space.size:.3g} architectures have a score: for others "
            "the nearest one answers that was not asked for yet"
        )
    if not judge.complete:
        found.append(
            f"only {judge.known.sum()} of {len(contest.table)} architectures can be judged: a "
            "search sees all scores and hands over the best of those among them that it asked for"
        )
    return tuple(found)


def _paths(made: Setup) -> dict[str, list[Trajectory]]:
    found: dict[str, list[Trajectory]] = {}
    with console.Progress() as progress:
        for name in made.strategies:
            task = progress.task(name, len(made.seeds))
            found[name] = []
            for seed in made.seeds:
                found[name].append(search(made.contest, name, seed))
                task.advance()
    return found


def _estimate(made: Setup) -> None:
    """Time one search of each method; nothing is written."""
    began = time.perf_counter()
    for name in made.strategies:
        search(made.contest, name, made.seeds[0])
    seconds = (time.perf_counter() - began) * len(made.seeds)
    console.table([("time", f"about {seconds:.1f} s")])
    console.emit_if_wanted({**dict(_plan(made)), "estimates": {"run": {"seconds": seconds}}})


def _id(cfg: DictConfig) -> str:
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    kept = {str(k): v for k, v in settings.items() if k not in (*NOT_IDENTITY, "hydra")}
    return sha256(canonical_json(kept).encode())[:6]


def _write(folder: Path, cfg: DictConfig, found: Outcome, result: dict[str, Any]) -> None:
    """All files, each whole or absent; ``result.json`` comes last and says that all are there."""
    unit = f"regret, {found.report.column.metric}"
    title = f"{result['table']}: {found.report.column.split or found.report.column.metric}"
    kept = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    content: dict[str, bytes | str] = {
        "config.yaml": OmegaConf.to_yaml(kept, resolve=True),
        "curves.csv": _csv(("strategy", "query", "regret", "low", "high"), _curves(found)),
        "finals.csv": _csv(("strategy", "seed", "value"), _finals(found, result["seeds"])),
        "correlations.csv": _csv(("statistic", "value"), found.correlations.items()),
        "regret.svg": svg_bytes(regret_figure(title, unit, found.curves)),
    }
    for name, text in content.items():
        write_atomic(folder / name, text)
    write_json(folder / "result.json", jsonable(result))


def _curves(found: Outcome) -> Iterable[tuple[object, ...]]:
    for name, curve in found.curves.items():
        for query, *values in zip(curve.queries, curve.mean, curve.low, curve.high, strict=True):
            yield (name, query, *(f"{value:.6g}" for value in values))


def _finals(found: Outcome, seeds: Sequence[int]) -> Iterable[tuple[object, ...]]:
    for name, values in found.values.items():
        for seed, value in zip(seeds, values[:, -1].tolist(), strict=True):
            yield name, seed, f"{value:.6g}"


def _csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()


def _close(made: Setup, found: Outcome, folder: Path, seconds: float) -> None:
    metric = found.report.column
    console.say()
    heads = ("strategy", "seeds", f"{metric.split} {metric.metric}".strip(), "sd", "95 % interval")
    rows = []
    for final in found.finals:
        value = final.value
        interval = "" if value.interval is None else " to ".join(f"{x:.2f}" for x in value.interval)
        sd = "" if value.sd is None else f"{value.sd:.2f}"
        against = "" if final.difference is None else f"{final.difference.mean:+.2f}"
        p = "" if final.corrected is None else f"{final.corrected:.2g}"
        count = str(value.n)
        cells = (final.strategy, count, f"{value.mean:.2f}", sd, interval, f"{final.regret:.2f}")
        rows.append((*cells, against, p))
    console.table(rows, (*heads, "regret", "to random", "p, corrected"))
    console.say()
    if found.correlations:
        texts = (
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.correlations.items()
        )
        console.say(f"ranks   {', '.join(texts)}")
    console.say(f"result  {sentence(found.finals, len(made.seeds))}")
    console.say(
        f"files   {folder}/regret.svg, curves.csv, finals.csv, result.json ({seconds:.1f} s)"
    )
    console.say("next    nas bench list · nas bench run table=nasbench201 dataset=cifar10")
