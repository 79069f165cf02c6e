"""``--plan``: what a run would take, measured on a few of its own steps, nothing written."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from omegaconf import DictConfig

from nas import console
from nas.analysis.summary import seconds
from nas.app.extend import begun
from nas.app.naming import chosen
from nas.app.stages import missing
from nas.build import Parts, data_source
from nas.engine.checkpoint import Checkpointer, Loaded
from nas.engine.device import set_threads
from nas.engine.rng import derive_seed, seed_everything
from nas.space import sample, size
from nas.store.folder import RunFolder

TIMED = 10
WARM = 2


@dataclass(frozen=True)
class Done:
    """How far a search is before it starts: complete epochs, and steps of the next one.

    Attributes:
        epoch: complete epochs.
        step: of the epoch at hand.
        steps: that were done in all.
        where: in which other run, if not in this one.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    where: str = ""


def plan(cfg: DictConfig, stages: Sequence[str], folder: RunFolder) -> None:
    """Print steps, estimated time, memory and the size of the space.

    Raises NasError where the search is to go on from a run that it cannot go on from.
    """
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
    todo = stages if _again(cfg) else missing(folder.path, stages)
    timings: dict[str, Callable[[], tuple[str, float]]] = {
        "search": lambda: _search(parts, _done(cfg, folder, parts)),
        "retrain": lambda: _retrain(parts),
    }
    for stage, timing in timings.items():
        if stage in stages:
            text, duration = timing() if stage in todo else ("done", 0.0)
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


def _counts(parts: Parts) -> str:
    return ", ".join(f"{name} {count}" for name, count in parts.data.counts().items())


def _done(cfg: DictConfig, folder: RunFolder, parts: Parts) -> Done:
    """What the same command would not do again; of a run that is running nothing is known."""
    # Whoever works in the folder may be writing there; looking would remove what it writes.
    if not _again(cfg) and not folder.held() and folder.checkpoints("search").is_dir():
        loaded = Checkpointer(folder.checkpoints("search"), folder.hash).latest()
        if loaded is not None:
            return _so_far(loaded)
    if cfg.get("from"):
        source, loaded = begun(cfg, parts)
        return _so_far(loaded, source.label)
    return Done()


def _again(cfg: DictConfig) -> bool:
    return bool(cfg.fresh or cfg.resume == "never")


def _so_far(loaded: Loaded, where: str = "") -> Done:
    return Done(loaded.epoch, int(loaded.state["position"]["step"]), loaded.step, where)


def _search(parts: Parts, done: Done) -> tuple[str, float]:
    seed_everything(parts.cfg.seed, "plan")
    streams = parts.streams()
    epochs = int(parts.cfg.trainer.epochs)
    left, duration, first = 0, 0.0, 0
    for phase in parts.update.phases(epochs):
        length = len(streams[phase.streams[0]])
        last = first + phase.epochs
        steps = length * (last - min(max(first, done.epoch), last))
        steps -= done.step if first <= done.epoch < last else 0
        if steps:
            batches = [streams[name].batch(0, 0) for name in phase.streams]
            duration += _timed(lambda p=phase, b=batches: p.step(*b)) * steps  # type: ignore[misc]
        left, first = left + steps, last
    parts.supernet  # noqa: B018  (names where the channels are partial)
    where = parts.partial
    partial = f", partial channels on {len(where)} edges" if where else ""
    return f"{_steps(epochs, left, done)}, {seconds(duration)}{partial}", duration


def _steps(epochs: int, left: int, done: Done) -> str:
    """All steps, and how many of them need not be done any more."""
    text = f"{epochs} epochs, {done.steps + left} steps"
    if not done.steps:
        return text
    source = f" in {done.where}" if done.where else ""
    return f"{text}, {done.steps} of them done{source}"


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
