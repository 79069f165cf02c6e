"""The one training loop: a search and a retraining differ only in the update that they run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nas.data.stream import Batches
from nas.engine.checkpoint import Checkpointer
from nas.engine.readings import Readings
from nas.engine.rng import capture_rng, restore_rng, seed_everything
from nas.engine.signals import Stopper
from nas.errors import ConfigError, NasError
from nas.schedules import Schedule
from nas.store.metrics import MetricsFile
from nas.strategies.base import Phase, Update


class Listener(Protocol):
    """Hears of progress; must change neither state nor random numbers."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """A stage of ``total`` steps starts, ``done`` of them before an interruption."""
        ...

    def step(self, metrics: Mapping[str, float]) -> None:
        """One more step is done."""
        ...

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch is done; ``row`` is its line in metrics.jsonl."""
        ...

    def end(self) -> None:
        """The stage is done."""
        ...


class Observer(Protocol):
    """Measures and records at an epoch's edge, without touching what a resumed run depends on."""

    def __call__(self, phase: str, epoch: int) -> Mapping[str, float]:
        """Figures to add to the epoch's metrics."""
        ...


@dataclass(frozen=True)
class Job:
    """What one stage runs.

    Attributes:
        stage: its name in files and metrics, e.g. ``search`` or ``retrain/found``.
        update: the rule by which state moves.
        epochs: in all, over the update's phases.
        streams: batches by the names that the phases use.
        schedules: called before every epoch.
        seed: of the global random numbers, together with the stage's name.
        observe: called after every epoch.
    """

    stage: str
    update: Update
    epochs: int
    streams: Mapping[str, Batches]
    schedules: Sequence[Schedule]
    seed: int
    observe: Observer = lambda phase, epoch: {}


@dataclass
class Position:
    """How far a stage is: what a checkpoint holds beside the update's state.

    A metric is averaged over the steps that told it, which ``counts`` has.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a finished stage took: steps, and seconds over all its sittings."""

    steps: int
    seconds: float


class Loop:
    """Runs a job from its last checkpoint, or from the start, to its end.

    Args:
        checkpointer: of this stage of this run.
        metrics: rows after the checkpoint that is resumed are dropped.
        stopper: a stop that was asked for is obeyed after the step at hand.
        listeners: progress bars and boards.
        checkpoint_seconds: least time between two checkpoints; the stage's end always makes one.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        metrics: MetricsFile,
        stopper: Stopper,
        listeners: Sequence[Listener] = (),
        checkpoint_seconds: float = 10.0,
    ) -> None:
        self.checkpointer, self.metrics, self.stopper = checkpointer, metrics, stopper
        self.listeners, self.checkpoint_seconds = tuple(listeners), checkpoint_seconds
        self._saved_at = time.monotonic()
        self._began = self._saved_at
        self._good: Path | None = None
        self._readings = Readings()

    def run(self, job: Job) -> Outcome:
        """Run to the end; raises InterruptedRunError if stopped, NasError if the loss diverges."""
        with self.stopper.deferred():
            return self._run(job)

    def _run(self, job: Job) -> Outcome:
        phases = _by_epoch(job)
        position = self._restore(job)
        total = sum(len(job.streams[phase.streams[0]]) for phase, _ in phases)
        for listener in self.listeners:
            listener.begin(job.stage, total, position.total_steps)
        self._began = time.monotonic() - position.seconds
        while position.epoch < len(phases):
            self._epoch(job, *phases[position.epoch], position)
            self._settle(job, position, last=position.epoch == len(phases))
        for listener in self.listeners:
            listener.end()
        return Outcome(position.total_steps, position.seconds)

    def _epoch(self, job: Job, phase: Phase, first_epoch: int, position: Position) -> None:
        for schedule in job.schedules:
            schedule.on_epoch(position.epoch)
        steps = len(job.streams[phase.streams[0]])
        while position.step < steps:
            batches = [
                _batch(job.streams[name], index, position, first_epoch, steps)
                for index, name in enumerate(phase.streams)
            ]
            self._readings.add(position.step, phase.step(*batches))
            position.step += 1
            position.total_steps += 1
            if self._readings.due:
                self._read(job, position)
            if position.step < steps:
                self._settle(job, position)
        self._read(job, position)
        self._close(job, phase, position)

    def _close(self, job: Job, phase: Phase, position: Position) -> None:
        position.seconds = time.monotonic() - self._began
        means = {name: value / position.counts[name] for name, value in position.sums.items()}
        row = {
            "stage": job.stage,
            "phase": phase.name,
            "epoch": position.epoch,
            "step": position.total_steps,
            "seconds": position.seconds,
            "metrics": {**means, **job.observe(phase.name, position.epoch)},
        }
        self.metrics.append(row)
        position.epoch, position.step = position.epoch + 1, 0
        position.sums, position.counts = {}, {}
        for listener in self.listeners:
            listener.epoch(row)

    def _read(self, job: Job, position: Position) -> None:
        """Check, add up and tell the metrics of all steps that were not read yet."""
        for step, found in self._readings.read():
            self._check(found, job, position.epoch, step)
            for name, value in found.items():
                position.sums[name] = position.sums.get(name, 0.0) + value
                position.counts[name] = position.counts.get(name, 0) + 1
            for listener in self.listeners:
                listener.step(found)

    def _check(self, values: Mapping[str, float], job: Job, epoch: int, step: int) -> None:
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            good = f"the last good checkpoint, {self._good.name}, is kept; " if self._good else ""
            raise NasError(
                f"{wrong[0]} became {values[wrong[0]]} in {job.stage}, epoch {epoch + 1}, "
                f"step {step + 1}; {good}"
                "lower the learning rate (optim), clip harder or use precision=fp32"
            )

    def _settle(self, job: Job, position: Position, last: bool = False) -> None:
        """Make a checkpoint if it is time for one or a stop was asked for, and obey the stop."""
        # Read once: a stop asked for during the write is obeyed after the next step, saved as well.
        stop = self.stopper.requested is not None
        late = time.monotonic() - self._saved_at >= self.checkpoint_seconds
        if last or late or stop:
            self._save(job, position)
        if stop:
            self.stopper.check(f"in {job.stage}, epoch {position.epoch + 1}")

    def _save(self, job: Job, position: Position) -> None:
        self._read(job, position)  # what diverged is not saved, and sums are whole
        position.seconds = time.monotonic() - self._began
        state = {
            "update": job.update.state_dict(),
            "position": vars(position),
            "metrics_size": self.metrics.size,
            "rng": capture_rng(),
        }
        self._good = self.checkpointer.save(state, position.epoch, position.total_steps)
        self._saved_at = time.monotonic()

    def _restore(self, job: Job) -> Position:
        loaded = self.checkpointer.latest()
        if loaded is None:
            self.metrics.drop_stage(job.stage)
            seed_everything(job.seed, job.stage)
            return Position()
        self._good = loaded.path
        job.update.load_state_dict(loaded.state["update"])
        self.metrics.truncate_to(loaded.state["metrics_size"])
        restore_rng(loaded.state["rng"])
        saved = loaded.state["position"]  # without counts of before metrics could be told at times
        return Position(**{"counts": dict.fromkeys(saved["sums"], saved["step"]), **saved})


def _by_epoch(job: Job) -> list[tuple[Phase, int]]:
    """The phase of every epoch, with the epoch in which that phase began."""
    found: list[tuple[Phase, int]] = []
    for phase in job.update.phases(job.epochs):
        missing = [name for name in phase.streams if name not in job.streams]
        if missing:
            raise ConfigError(
                f"phase {phase.name!r} reads the data stream {missing[0]!r}; "
                f"there are {', '.join(job.streams)}"
            )
        first = len(found)
        found += [(phase, first)] * phase.epochs
    return found


def _batch(stream: Batches, index: int, position: Position, first_epoch: int, steps: int) -> Any:
    """The stream's batch at a position; streams but the first run on over epoch edges."""
    if index == 0:
        return stream.batch(position.epoch, position.step)
    drawn = (position.epoch - first_epoch) * steps + position.step
    return stream.batch(drawn // len(stream), drawn % len(stream))
