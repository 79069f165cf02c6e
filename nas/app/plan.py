"""``--plan``: what a run would take, measured on a few of its own steps, nothing written."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import torch
from omegaconf import DictConfig

from nas import console
from nas.analysis.summary import seconds
from nas.app.naming import chosen
from nas.build import Parts, data_source
from nas.engine.device import set_threads
from nas.engine.rng import derive_seed, seed_everything
from nas.space import sample, size

TIMED = 10
WARM = 2


def plan(cfg: DictConfig, stages: Sequence[str]) -> None:
    """Print steps, estimated time, memory and the size of the space."""
    from hydra.core.hydra_config import HydraConfig

    choices = chosen(HydraConfig.get())
    parts = Parts(cfg, data_source(cfg).load().without("test"))
    set_threads(cfg.threads, parts.data.spec.size)
    parts.task, parts.costs  # noqa: B018  (checked before anything is timed)
    rows: list[tuple[str, str]] = [
        (
            "plan",
            f"{cfg.get('genotype') or choices['strategy']} on {choices['space']}",
        ),
        ("folder", str(HydraConfig.get().runtime.output_dir)),
        ("data", f"{choices['data']}: {_counts(parts)}"),
        ("space", f"{size(parts.space):.2e} genotypes"),
    ]
    total = 0.0
    for stage, timing in (("search", _search), ("retrain", _retrain)):
        if stage in stages:
            text, duration = timing(parts)
            rows.append((stage, text))
            total += duration
    if "search" in stages:
        rows.append(("execution", parts.execution))
    notes = [("note", note) for note in (*getattr(parts.space, "notes", ()), *parts.unfused)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows += [("time", f"about {seconds(total)}, without export and report"), *notes]
    rows.append(("memory", f"about {memory / 2**30:.1f} GiB, peak of this process so far"))
    console.table(rows)
    console.emit_if_wanted(dict(rows))


def remove_empty(folder: Path) -> None:
    """Hydra makes the folder before anything is known; a plan leaves nothing behind."""
    with suppress(OSError):
        for path in (folder, folder.parent, folder.parent.parent):
            path.rmdir()


def _counts(parts: Parts) -> str:
    return ", ".join(f"{name} {count}" for name, count in parts.data.counts().items())


def _search(parts: Parts) -> tuple[str, float]:
    seed_everything(parts.cfg.seed, "plan")
    streams = parts.streams()
    steps, duration = 0, 0.0
    for phase in parts.update.phases(parts.cfg.trainer.epochs):
        batches = [streams[name].batch(0, 0) for name in phase.streams]
        length = len(streams[phase.streams[0]])
        duration += _timed(lambda p=phase, b=batches: p.step(*b)) * phase.epochs * length  # type: ignore[misc]
        steps += phase.epochs * length
    parts.supernet  # noqa: B018  (names where the channels are partial)
    where = parts.partial
    partial = f", partial channels on {len(where)} edges" if where else ""
    epochs = parts.cfg.trainer.epochs
    return f"{epochs} epochs, {steps} steps, {seconds(duration)}{partial}", duration


def _retrain(parts: Parts) -> tuple[str, float]:
    generator = torch.Generator().manual_seed(derive_seed(parts.cfg.seed, "plan"))
    job = parts.retraining(parts.space.network(sample(parts.space, generator)))
    stream = job.streams["train"]
    batch = stream.batch(0, 0)
    networks = 1 + int(parts.cfg.trainer.random_networks)
    steps = job.epochs * len(stream)
    duration = _timed(lambda: job.update.step(batch)) * steps * networks
    return f"{networks} networks, {job.epochs} epochs, {steps} steps each, {seconds(duration)}", (
        duration
    )


def _timed(step: Callable[[], Any]) -> float:
    """Median seconds of ten steps after two that warm up."""
    durations = []
    for _ in range(WARM + TIMED):
        start = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - start)
    return median(durations[WARM:])
