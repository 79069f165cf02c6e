"""``nas bench build``: trainings, then the table of them, written at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from omegaconf import DictConfig

from nas import console
from nas.app.alone import train_all
from nas.app.progress import ProgressBars
from nas.app.session import Session, opened
from nas.app.tabulate.columns import Trained, table_of
from nas.app.tabulate.settings import Settings, settings
from nas.app.tabulate.trainings import figures, test_figures, train
from nas.benchmarks import Query, Table
from nas.benchmarks.correlation import kendall
from nas.benchmarks.query import select
from nas.benchmarks.store import write_table
from nas.build import Parts, data_source
from nas.files import as_seen, jsonable, read_json
from nas.store.folder import RunFolder


def build(cfg: DictConfig) -> float | None:
    """Train the architectures that the settings name and write their table.

    Returns nothing that a sweeper may choose by. Raises NasError for a setting that is not allowed.
    """
    from hydra.core.hydra_config import HydraConfig

    if cfg.mode == "plan":
        _plan(cfg, RunFolder(as_seen(HydraConfig.get().runtime.output_dir)))
        return None
    with opened(cfg, ("build",)) as session:
        parts, data = session.parts, session.choices["data"]
        wanted = settings(cfg, parts, session.choices["space"])
        bars = ProgressBars(parts.task.primary, loops=False)
        console.table(_told(wanted, session))
        with bars:
            records = train_all(replace(session, bars=bars), wanted.trainings(), wanted.jobs, train)
            found = _trained(replace(session, bars=bars), wanted, records)
        name = f"{wanted.record.name}-{data}"
        codes = np.array([wanted.record.encode(g) for g in wanted.genotypes], dtype=np.uint8)
        metrics = list(parts.task.higher_is_better)
        table = table_of(name, wanted.record, codes, data, metrics, found)
        agree = agreement(table, parts.task.primary)
        path = as_seen(write_table(table, session.folder.path, _provenance(session, agree)))
    console.table(_closing(table, agree, parts.task.primary))
    console.say(f"files   {path}, {path.stem}.npz")
    queries = min(200, len(table) // 2)
    console.say(f"next    nas bench run table={path} queries={queries}")
    told = {"table": path, "architectures": len(table), "seeds": list(wanted.seeds)}
    console.emit_if_wanted(jsonable({**told, "agreement": agree}))
    return None


def _plan(cfg: DictConfig, folder: RunFolder) -> None:
    from hydra.core.hydra_config import HydraConfig

    from nas.app.naming import chosen
    from nas.app.plan import plan

    parts = Parts(cfg, data_source(cfg).load().without("test"))
    wanted = settings(cfg, parts, chosen(HydraConfig.get())["space"])
    cfg.trainer.random_networks = len(wanted.trainings()) - 1  # beside the first one
    plan(cfg, ("retrain",), folder)


def _told(wanted: Settings, session: Session) -> list[tuple[str, str]]:
    epochs = session.cfg.trainer.network_epochs
    trainings = len(wanted.trainings())
    count = f"{len(wanted.genotypes)} architectures of {wanted.record.name}"
    return [
        ("trains", f"{count}, {len(wanted.seeds)} seeds, {epochs} epochs each: {trainings} in all"),
        ("folder", str(session.folder.path)),
    ]


def _trained(
    session: Session, wanted: Settings, records: Sequence[Mapping[str, Any]]
) -> dict[int, list[Trained]]:
    """What is known of every training, by seed; the test split is looked at here alone."""
    data = data_source(session.cfg).load()
    last, trainings = int(session.cfg.trainer.network_epochs), wanted.trainings()
    found: dict[int, list[Trained]] = {seed: [] for seed in wanted.seeds}
    bar = session.bars.task("test", len(trainings))
    for training, record in zip(trainings, records, strict=True):
        known = figures(session, training, last)
        sizes = {name: float(record[name]) for name in ("parameters", "macs")}
        test = test_figures(session, training, data)
        validation = {epochs: known[epochs] for epochs in wanted.lengths}
        found[training.seed].append(Trained(validation, test, float(record["seconds"]), sizes))
        bar.advance()
    bar.finish()
    return found


def agreement(table: Table, metric: str) -> float | None:
    """Kendall's tau between the seeds' validation figures, mean over pairs; None of one seed."""
    column = next(c for c in reversed(table.columns) if c.metric == metric)
    series = select(table, Query(metric, column.dataset, "validation", column.epochs))
    pairs = list(combinations(series.values, 2))
    return fmean(kendall(a, b) for a, b in pairs) if pairs else None


def _provenance(session: Session, agree: float | None) -> dict[str, Any]:
    return {
        "environment": read_json(session.folder.env),
        "settings": session.folder.config.read_text(encoding="utf-8"),
        "seconds": "measured per epoch while training, by as many processes as jobs= says",
        "kendall_between_seeds": agree,
    }


def _closing(table: Table, agree: float | None, metric: str) -> list[tuple[str, str]]:
    rows = [("table", f"{table.name}: {len(table)} of {table.space.size:.3g} architectures")]
    column = next(c for c in reversed(table.columns) if c.metric == metric and c.split == "test")
    for split in ("validation", "test"):
        mean = select(table, Query(metric, column.dataset, split, column.epochs)).mean
        rows.append((f"{split} {metric}", f"{mean.min():.2f} to {mean.max():.2f}"))
    if agree is not None:
        rows.append(("between seeds", f"Kendall's tau {agree:.2f} on validation"))
    return rows
