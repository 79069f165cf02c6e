"""``--plan``: what a run would take, measured on a few of its own steps, nothing written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, median
from typing import Any

import torch
from omegaconf import DictConfig

from nas import console
from nas.analysis.summary import seconds
from nas.app.budgeted import outlook
from nas.app.candidates import path_score
from nas.app.extend import begun
from nas.app.low_rank import trained_rank
from nas.app.naming import chosen
from nas.app.stages import missing
from nas.app.stages.search import validation
from nas.build import Parts, Retraining, data_source
from nas.data import Batches
from nas.engine.checkpoint import Checkpointer, Loaded
from nas.engine.device import peak_memory, set_threads
from nas.engine.rng import derive_seed, seed_everything
from nas.space import sample, size
from nas.store.folder import RunFolder
from nas.strategies import Phase, ScoresPaths

TIMED = 10
WARM = 2
NETWORKS = 4  # random ones whose retraining is timed


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


@dataclass(frozen=True)
class Estimate:
    """What a stage would take, measured on a few of its steps.

    Attributes:
        text: for people.
        seconds: of all its steps and, in a search, of its epochs' edges.
        memory: peak in bytes, of this process or of the device; 0 where nothing was run.
    """

    text: str
    seconds: float = 0.0
    memory: int = 0


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
            f"{cfg.get('genotype') or choices.get('strategy', 'a table')} on {choices['space']}",
        ),
        ("folder", str(HydraConfig.get().runtime.output_dir)),
        ("data", f"{choices['data']}: {_counts(parts)}"),
        ("space", f"{size(parts.space):.2e} genotypes"),
        *outlook(parts),
    ]
    estimates: dict[str, Estimate] = {}
    todo = stages if _again(cfg) else missing(folder.path, stages)
    timings: dict[str, Callable[[], Estimate]] = {
        "search": lambda: _search(parts, _done(cfg, folder, parts)),
        "retrain": lambda: _retrain(parts),
    }
    search = parts.derivation if "search" in stages else None
    if isinstance(search, ScoresPaths):
        scored = search  # narrowed for the call later
        timings["derive"] = lambda: _derive(parts, scored)
    for stage, timing in timings.items():
        if stage in stages:
            estimates[stage] = timing() if stage in todo else Estimate("done")
            rows.append((stage, estimates[stage].text))
    if "search" in stages and parts.searches:
        rows.append(("execution", _execution(parts)))
        rows += [(name, each.describe()) for name, each in parts.transforms.items()]
    notes = [("note", note) for note in (*getattr(parts.space, "notes", ()), *parts.unfused)]
    total = sum(estimate.seconds for estimate in estimates.values())
    rows += [("time", f"about {seconds(total)}, without export and report"), *notes]
    if memory := [f"{e.memory / 2**30:.2f} GiB in {s}" for s, e in estimates.items() if e.memory]:
        rows.append(("memory", f"about {', '.join(memory)}: peak of the steps just taken"))
    console.table(rows)
    numbers = {stage: {"seconds": e.seconds, "memory": e.memory} for stage, e in estimates.items()}
    console.emit_if_wanted({**dict(rows), "estimates": numbers})


def _execution(parts: Parts) -> str:
    """How the search is computed, and what was added to that or could not be."""
    words = [parts.execution]
    if parts.channels_last:
        words.append("channels last")
    parts.update  # noqa: B018  (says whether its steps are captured)
    if parts.graphed:
        words.append("CUDA graph")
    elif parts.ungraphed:
        words.append(f"no CUDA graph ({parts.ungraphed})")
    return ", ".join(words)


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


def _search(parts: Parts, done: Done) -> Estimate:
    if not parts.searches:
        return Estimate("nothing is trained to find an architecture")
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
            duration += _timed(partial(_step, phase, streams)) * steps
        left, first = left + steps, last
    if left:
        validation(parts)  # the first one warms up
        duration += _seconds(lambda: validation(parts)) * (epochs - done.epoch)
    parts.supernet  # noqa: B018  (names where the channels are partial)
    where = parts.partial
    channels = f", partial channels on {len(where)} edges" if where else ""
    text = f"{_steps(epochs, left, done)}, {seconds(duration)}{channels}"
    return Estimate(text, duration, peak_memory(parts.device))


def _derive(parts: Parts, search: ScoresPaths) -> Estimate:
    """Paths differ in time as networks do, so that several are scored."""
    generator = torch.Generator().manual_seed(derive_seed(parts.cfg.seed, "plan"))
    score = path_score(parts, search.batches, search.calibration)
    drawn = [sample(parts.space, generator) for _ in range(NETWORKS)]
    duration = mean(_seconds(partial(score, path)) for path in drawn) * search.queries
    text = f"{search.queries} paths scored at most, {seconds(duration)}"
    return Estimate(text, duration, peak_memory(parts.device))


def _step(phase: Phase, streams: Mapping[str, Batches]) -> None:
    phase.step(*(streams[name].batch(0, 0) for name in phase.streams))


def _steps(epochs: int, left: int, done: Done) -> str:
    """All steps, and how many of them need not be done any more."""
    text = f"{epochs} epochs, {done.steps + left} steps"
    if not done.steps:
        return text
    source = f" in {done.where}" if done.where else ""
    return f"{text}, {done.steps} of them done{source}"


def _retrain(parts: Parts) -> Estimate:
    generator = torch.Generator().manual_seed(derive_seed(parts.cfg.seed, "plan"))
    timed = []
    for _ in range(NETWORKS):  # genotypes differ in time by a factor of two
        network = parts.space.network(sample(parts.space, generator))
        job = parts.retraining(network, trained_rank(parts.cfg, network))
        timed.append(_timed(partial(_retraining_step, job)))
    networks = 1 + int(parts.cfg.trainer.random_networks)
    steps = job.epochs * len(job.streams["train"])
    duration = mean(timed) * steps * networks
    text = f"{networks} networks, {job.epochs} epochs, {steps} steps each, {seconds(duration)}"
    return Estimate(text, duration, peak_memory(parts.device))


def _retraining_step(job: Retraining) -> None:
    (phase,) = job.update.phases(job.epochs)
    phase.step(job.streams["train"].batch(0, 0))


def _timed(step: Callable[[], Any]) -> float:
    """Median seconds of ten steps after two that warm up."""
    return median([_seconds(step) for _ in range(WARM + TIMED)][WARM:])


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
