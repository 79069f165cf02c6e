import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.batch import Batch
from nas.data import ArrayData, Batches
from nas.dataspec import DataSpec
from nas.engine import readings
from nas.engine.checkpoint import Checkpointer
from nas.engine.loop import Job, Loop, Observer, Outcome
from nas.engine.rng import capture_rng, seed_everything
from nas.engine.signals import InterruptedRunError, Stopper
from nas.errors import ConfigError, NasError
from nas.store.metrics import MetricsFile
from nas.strategies import Phase

OWNER = "abc123"
EPOCHS = 3  # one of warm-up, two of the main phase
STEPS = 4  # per epoch of the first stream; the second one has 3 batches
TOTAL = EPOCHS * STEPS
EVER = 1e9


class KilledError(BaseException):
    """Ends a run as a kill would: nothing of ours catches it."""


class Tiny:
    """Moves a small network; draws from every global generator, as a user's rule may."""

    def __init__(self) -> None:
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 3)
        )
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        self.asked: list[list[int]] = []
        self.during: Callable[[], None] = lambda: None

    def phases(self, epochs: int) -> Sequence[Phase]:
        return [
            Phase("warmup", 1, ("a",), self.step),
            Phase("main", epochs - 1, ("a", "b"), self.step),
        ]

    def step(self, *batches: Batch) -> Mapping[str, Tensor]:
        self.during()
        noise = random.random() + float(np.random.rand()) + float(torch.rand(()))
        self.asked.append([int(batch.inputs.sum()) for batch in batches])
        self.optimizer.zero_grad()
        loss = torch.stack([self._loss(batch) for batch in batches]).sum() * (1 + noise)
        torch.autograd.backward(loss)
        self.optimizer.step()
        found = {"loss/a": loss.detach()}
        seldom = int(batches[0].targets.sum()) % 2 == 0  # known from the batch alone
        return {**found, "seldom": loss.detach()} if seldom else found

    def _loss(self, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch.inputs), batch.targets)

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


@dataclass
class Listening:
    """Hears everything, and may end the run after a step or at an epoch's edge."""

    after_step: Callable[[int], None] = lambda step: None
    heard: list[Any] = field(default_factory=list)
    done: int = 0

    def begin(self, stage: str, total: int, done: int) -> None:
        self.heard.append(("begin", stage, total, done))
        self.done = done

    def step(self, metrics: Mapping[str, float]) -> None:
        self.done += 1
        self.heard.append(("step", dict(metrics)))
        self.after_step(self.done)

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.heard.append(("epoch", dict(row)))

    def end(self) -> None:
        self.heard.append(("end",))


class Knob:
    """A schedule that remembers when it was turned."""

    def __init__(self, update: Tiny) -> None:
        self.update, self.epochs = update, list[int]()

    def on_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)
        self.update.optimizer.param_groups[0]["lr"] = 0.1 / (1 + epoch)


def streams() -> dict[str, Batches]:
    generator = torch.Generator().manual_seed(5)
    data = ArrayData(
        spec=DataSpec((1, 2, 2), "classes", 3),
        inputs=torch.randint(256, (14, 1, 2, 2), dtype=torch.uint8, generator=generator),
        targets=torch.arange(14) % 3,
        splits={},
        fingerprint="0",
        name="toy",
    )
    parts = {"a": torch.arange(8), "b": torch.arange(8, 14)}
    return {
        name: Batches(data, where, batch_size=2, seed=0, name=name) for name, where in parts.items()
    }


@dataclass
class Sitting:
    """A fresh process, as it were: everything is built anew from another random state."""

    folder: Path
    stage: str = "search"
    checkpoint_seconds: float = 0.0
    listener: Listening = field(default_factory=Listening)
    stopper: Stopper = field(default_factory=Stopper)
    observe: Observer = lambda phase, epoch: {"seen": float(epoch)}
    seed: int = 0

    def __post_init__(self) -> None:
        seed_everything("anything", time.monotonic_ns())
        self.update = Tiny()
        self.metrics = MetricsFile(self.folder / "metrics.jsonl")
        self.checkpointer = Checkpointer(self.folder / "checkpoints" / self.stage, OWNER)
        self.knob = Knob(self.update)
        if not (self.folder / "start.pt").exists():
            torch.save(self.initial().net.state_dict(), self.folder / "start.pt")
        self.update.net.load_state_dict(torch.load(self.folder / "start.pt"))

    def initial(self) -> Tiny:
        seed_everything("initial")
        return Tiny()

    @property
    def job(self) -> Job:
        return Job(
            stage=self.stage,
            update=self.update,
            epochs=EPOCHS,
            streams=streams(),
            schedules=[self.knob],
            seed=self.seed,
            observe=self.observe,
        )

    def run(self) -> Outcome:
        parts = (self.checkpointer, self.metrics, self.stopper, [self.listener])
        return Loop(*parts, checkpoint_seconds=self.checkpoint_seconds).run(self.job)


def flat(state: Any) -> list[Any]:
    if isinstance(state, Mapping):
        return [entry for key in state for entry in (key, *flat(state[key]))]
    if isinstance(state, list | tuple):
        return [entry for value in state for entry in flat(value)]
    return [state.tolist()] if isinstance(state, Tensor | np.ndarray) else [state]


def rows(folder: Path) -> list[dict[str, Any]]:
    found = MetricsFile(folder / "metrics.jsonl").read()
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def left(sitting: Sitting) -> list[Any]:
    """All that a run leaves: state, random numbers, rows."""
    return [*flat(sitting.update.state_dict()), *flat(capture_rng()), rows(sitting.folder)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    sitting = Sitting(tmp_path_factory.mktemp("whole"))
    assert sitting.run().steps == TOTAL
    return left(sitting)


def dying(at: int) -> Listening:
    def after_step(step: int) -> None:
        if step == at:
            raise KilledError

    return Listening(after_step)


@pytest.mark.parametrize("step", range(1, TOTAL))
def test_stopped_after_any_step_and_resumed_it_ends_as_if_never_stopped(
    tmp_path: Path, expected: list[Any], step: int
) -> None:
    stopper = Stopper()

    def after_step(done: int) -> None:
        if done == step:
            stopper.requested = signal.SIGTERM

    first = Sitting(tmp_path, "search", EVER, Listening(after_step), stopper)
    with pytest.raises(InterruptedRunError, match="stopped by SIGTERM in search, epoch"):
        first.run()
    second = Sitting(tmp_path)
    assert second.run().steps == TOTAL
    assert second.listener.heard[0] == ("begin", "search", TOTAL, step)  # nothing was lost
    assert left(second) == expected


@pytest.mark.parametrize("every", [0.0, EVER])
@pytest.mark.parametrize("step", range(1, TOTAL + 1))
def test_killed_during_any_step_and_resumed_it_ends_as_if_never_killed(
    tmp_path: Path, expected: list[Any], step: int, every: float
) -> None:
    with pytest.raises(KilledError):
        Sitting(tmp_path, "search", every, dying(step)).run()
    second = Sitting(tmp_path, "search", every)
    second.run()
    lost = 1 if every == 0 else step  # a checkpoint after every step, or none
    assert second.listener.heard[0] == ("begin", "search", TOTAL, step - lost)
    assert left(second) == expected


@pytest.mark.parametrize("epoch", range(EPOCHS))
@pytest.mark.parametrize("where", ["before the row", "before the checkpoint"])
def test_killed_at_an_epoch_edge_no_row_is_doubled_or_lost(
    tmp_path: Path,
    expected: list[Any],
    epoch: int,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append = MetricsFile.append

    def fatal(self: MetricsFile, row: Mapping[str, Any]) -> None:
        if where == "before the checkpoint" or row["epoch"] != epoch:
            append(self, row)
        if row["epoch"] == epoch:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "append", fatal)
        with pytest.raises(KilledError):
            Sitting(tmp_path).run()
    second = Sitting(tmp_path)
    second.run()
    assert left(second) == expected


@pytest.mark.parametrize("write", [1, STEPS - 1, STEPS, STEPS + 1, TOTAL])
@pytest.mark.parametrize("after", [False, True])
def test_killed_around_the_rename_of_any_checkpoint(
    tmp_path: Path, expected: list[Any], write: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, rename = 0, os.replace

    def fatal(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        if count != write or after:
            rename(source, target)
        if count == write:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fatal)
        with pytest.raises(KilledError):
            Sitting(tmp_path).run()
    second = Sitting(tmp_path)
    second.run()
    assert left(second) == expected


def test_interrupted_again_and_again_it_still_ends_the_same(
    tmp_path: Path, expected: list[Any]
) -> None:
    for step in range(1, TOTAL):
        with pytest.raises(KilledError):
            Sitting(tmp_path, listener=dying(step + 1)).run()
    last = Sitting(tmp_path)
    last.run()
    assert left(last) == expected


def test_a_finished_stage_is_restored_without_a_step(tmp_path: Path, expected: list[Any]) -> None:
    first = Sitting(tmp_path).run()
    again = Sitting(tmp_path)
    outcome = again.run()
    assert outcome == first
    assert [heard[0] for heard in again.listener.heard] == ["begin", "end"]
    assert left(again) == expected


def test_random_numbers_depend_on_seed_and_stage_alone(tmp_path: Path) -> None:
    def noise(name: str, **changes: Any) -> list[Any]:
        (tmp_path / name).mkdir()
        sitting = Sitting(tmp_path / name, **changes)
        sitting.run()
        return flat(capture_rng())

    plain = noise("plain")
    assert noise("again") == plain
    assert noise("seed", seed=1) != plain
    assert noise("stage", stage="retrain/found") != plain


def test_rows_hold_the_means_of_the_epoch_and_what_the_observer_saw(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path)
    sitting.run()
    found = MetricsFile(tmp_path / "metrics.jsonl").read()
    steps = [heard[1]["loss/a"] for heard in sitting.listener.heard if heard[0] == "step"]
    assert [row["phase"] for row in found] == ["warmup", "main", "main"]
    assert [(row["stage"], row["epoch"], row["step"]) for row in found] == [
        ("search", epoch, STEPS * (epoch + 1)) for epoch in range(EPOCHS)
    ]
    for epoch, row in enumerate(found):
        own = steps[STEPS * epoch : STEPS * (epoch + 1)]
        assert row["metrics"]["loss/a"] == pytest.approx(sum(own) / STEPS, rel=1e-12)
        assert row["metrics"]["seen"] == epoch
    seldom = [heard[1].get("seldom") for heard in sitting.listener.heard if heard[0] == "step"]
    assert 0 < sum(value is None for value in seldom) < TOTAL
    for epoch, row in enumerate(found):  # told by some steps alone, averaged over these
        told = [value for value in seldom[STEPS * epoch :][:STEPS] if value is not None]
        mean = pytest.approx(sum(told) / len(told), rel=1e-12) if told else None
        assert row["metrics"].get("seldom") == mean
    seconds = [row["seconds"] for row in found]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_the_mean_of_an_epoch_counts_the_steps_before_an_interruption(
    tmp_path: Path, expected: list[Any]
) -> None:
    with pytest.raises(KilledError):
        Sitting(tmp_path, listener=dying(STEPS - 1)).run()
    Sitting(tmp_path).run()
    assert rows(tmp_path) == expected[-1]


def test_listeners_hear_everything_in_order(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path)
    sitting.run()
    heard = sitting.listener.heard
    assert heard[0] == ("begin", "search", TOTAL, 0)
    assert [entry[0] for entry in heard[1:-1]] == (["step"] * STEPS + ["epoch"]) * EPOCHS
    assert heard[-1] == ("end",)
    told = [entry[1] for entry in heard if entry[0] == "epoch"]
    assert told == MetricsFile(tmp_path / "metrics.jsonl").read()


def test_schedules_are_called_before_every_epoch_and_again_on_resume(tmp_path: Path) -> None:
    first = Sitting(tmp_path, listener=dying(STEPS + 2))
    with pytest.raises(KilledError):
        first.run()
    second = Sitting(tmp_path)
    second.run()
    assert (first.knob.epochs, second.knob.epochs) == ([0, 1], [1, 2])


def test_the_second_stream_runs_on_over_epoch_edges(tmp_path: Path) -> None:
    """8 steps over 3 batches: two whole epochs of the second stream and two batches of a third."""
    sitting = Sitting(tmp_path)
    sitting.run()
    b = streams()["b"]
    order = [(drawn // len(b), drawn % len(b)) for drawn in range(2 * STEPS)]
    wanted = [int(b.batch(*place).inputs.sum()) for place in order]
    main = sitting.update.asked[STEPS:]
    assert [asked[1] for asked in main] == wanted
    a = streams()["a"]
    first = [int(a.batch(e, s).inputs.sum()) for e in (1, 2) for s in range(STEPS)]
    assert [asked[0] for asked in main] == first
    assert all(len(asked) == 1 for asked in sitting.update.asked[:STEPS])


def test_checkpoints_come_no_closer_than_asked_and_always_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    saved: list[int] = []
    save = Checkpointer.save

    def noted(self: Checkpointer, state: Mapping[str, Any], epoch: int, step: int) -> Path:
        saved.append(step)
        return save(self, state, epoch, step)

    def after_step(step: int) -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr("nas.engine.loop.time.monotonic", lambda: now)
    monkeypatch.setattr(Checkpointer, "save", noted)
    Sitting(tmp_path, "search", 5.0, Listening(after_step)).run()
    assert saved == [5, 10, 12]
    assert len(list((tmp_path / "checkpoints/search").iterdir())) == 2


def test_seconds_are_summed_over_sittings_without_the_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0

    def after_step(step: int) -> None:
        nonlocal now
        now += 1.0
        if step == 7:
            raise KilledError

    monkeypatch.setattr("nas.engine.loop.time.monotonic", lambda: now)
    with pytest.raises(KilledError):
        Sitting(tmp_path, listener=Listening(after_step)).run()
    now += 1000.0
    monkeypatch.setattr("nas.engine.loop.time.monotonic", lambda: now)

    def on(step: int) -> None:
        nonlocal now
        now += 1.0

    assert Sitting(tmp_path, listener=Listening(on)).run() == Outcome(TOTAL, float(TOTAL))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [1, 6])
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path, value: float, at: int
) -> None:
    sitting = Sitting(tmp_path)
    step = sitting.update.step

    def diverging(*batches: Batch) -> Mapping[str, Tensor]:
        found = step(*batches)
        count = len(sitting.update.asked)
        return {"fine": torch.zeros(()), "loss/a": torch.tensor(value)} if count == at else found

    sitting.update.step = diverging  # type: ignore[method-assign]
    with pytest.raises(NasError) as error:
        sitting.run()
    text = str(error.value)
    epoch, inside = divmod(at - 1, STEPS)
    assert f"loss/a became {value} in search, epoch {epoch + 1}, step {inside + 1}; " in text
    assert text.endswith("lower the learning rate (optim), clip harder or use precision=fp32")
    files = [path.name for path in sitting.checkpointer.files()]
    if at == 1:
        assert (files, "checkpoint" in text) == ([], False)
    else:
        assert files[-1] == "0001-00000005.ckpt"
        assert "the last good checkpoint, 0001-00000005.ckpt, is kept; " in text


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let metrics count as lying on a GPU, which is to be asked for them as rarely as can be."""
    monkeypatch.setattr(readings, "waits_for", lambda value: True)


def test_metrics_that_lie_elsewhere_are_read_late_and_give_the_same(
    tmp_path: Path, expected: list[Any], far_away: None
) -> None:
    sitting = Sitting(tmp_path, "search", EVER)
    assert sitting.run().steps == TOTAL
    assert left(sitting) == expected
    kinds = [entry[0] for entry in sitting.listener.heard]
    assert kinds == ["begin", *(["step"] * STEPS + ["epoch"]) * EPOCHS, "end"]


def test_divergence_that_is_read_late_is_told_of_its_step_and_never_saved(
    tmp_path: Path, far_away: None
) -> None:
    sitting = Sitting(tmp_path, "search", EVER)
    step = sitting.update.step

    def diverging(*batches: Batch) -> Mapping[str, Tensor]:
        found = step(*batches)
        if len(sitting.update.asked) == STEPS + 3:  # a checkpoint is asked for, after the step
            sitting.stopper.requested = signal.SIGTERM
        bad = len(sitting.update.asked) == STEPS + 2
        return {"loss/a": torch.tensor(math.nan)} if bad else found

    sitting.update.step = diverging  # type: ignore[method-assign]
    with pytest.raises(NasError, match="loss/a became nan in search, epoch 2, step 2; "):
        sitting.run()
    assert len(sitting.update.asked) == STEPS + 3
    assert sitting.checkpointer.files() == []


def test_a_refused_checkpoint_is_not_called_good(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        Sitting(tmp_path, listener=dying(4)).run()
    newest = sorted((tmp_path / "checkpoints/search").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    second = Sitting(tmp_path, "search", EVER)
    second.update.step = lambda *batches: {"loss/a": torch.tensor(math.nan)}  # type: ignore[method-assign]
    with pytest.raises(NasError, match=r"good checkpoint, 0000-00000002\.ckpt, is kept"):
        second.run()


def test_weights_that_diverged_are_not_saved(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path, "search", EVER)

    def observe(phase: str, epoch: int) -> Mapping[str, float]:
        with torch.no_grad():
            next(sitting.update.net.parameters()).fill_(math.inf)
        return {}

    sitting.observe = observe
    sitting.checkpoint_seconds = 0.0
    with pytest.raises(NasError, match="NaN or infinity"):
        sitting.run()
    files = [path.name for path in sitting.checkpointer.files()]
    assert files == ["0000-00000002.ckpt", "0000-00000003.ckpt"]


def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, expected: list[Any]
) -> None:
    with pytest.raises(KilledError):
        Sitting(tmp_path, listener=dying(STEPS + 3)).run()
    newest = sorted((tmp_path / "checkpoints/search").iterdir())[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    second = Sitting(tmp_path)
    second.run()
    assert second.listener.heard[0] == ("begin", "search", TOTAL, STEPS + 1)
    assert left(second) == expected


def test_a_stage_started_anew_drops_its_old_rows_and_all_after_them(
    tmp_path: Path, expected: list[Any]
) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"stage": "before", "epoch": 0})
    Sitting(tmp_path).run()
    metrics.append({"stage": "later", "epoch": 0})
    again = Sitting(tmp_path)
    again.checkpointer.clear()
    again.run()
    assert rows(tmp_path) == [{"stage": "before", "epoch": 0}, *expected[-1]]


def test_rows_of_earlier_stages_stay(tmp_path: Path) -> None:
    Sitting(tmp_path).run()
    before = rows(tmp_path)
    with pytest.raises(KilledError):
        Sitting(tmp_path, "retrain/found", listener=dying(6)).run()
    Sitting(tmp_path, "retrain/found").run()
    assert rows(tmp_path)[:EPOCHS] == before
    assert [row["stage"] for row in rows(tmp_path)] == ["search"] * 3 + ["retrain/found"] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_step_is_obeyed_after_it(
    tmp_path: Path, expected: list[Any], number: int
) -> None:
    assert threading.current_thread() is threading.main_thread()
    first = Sitting(tmp_path, checkpoint_seconds=EVER)

    def during() -> None:
        if len(first.update.asked) == 5:
            os.kill(os.getpid(), number)

    first.update.during = during
    with pytest.raises(InterruptedRunError) as error, first.stopper:
        first.run()
    assert error.value.exit_code == 128 + number
    assert len(first.update.asked) == 6  # the step at hand was finished, and saved
    assert [path.name for path in first.checkpointer.files()] == ["0001-00000006.ckpt"]
    second = Sitting(tmp_path)
    second.run()
    assert left(second) == expected


def test_a_stop_during_the_write_of_a_checkpoint_waits_for_the_next_saved_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sitting = Sitting(tmp_path)
    save = Checkpointer.save

    def stopped(self: Checkpointer, state: Mapping[str, Any], epoch: int, step: int) -> Path:
        if step == 2:
            sitting.stopper.requested = signal.SIGTERM
        return save(self, state, epoch, step)

    monkeypatch.setattr(Checkpointer, "save", stopped)
    with pytest.raises(InterruptedRunError):
        sitting.run()
    assert sitting.checkpointer.files()[-1].name == "0000-00000003.ckpt"


def test_a_phase_with_an_unknown_stream_is_named(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path)
    job = replace(sitting.job, streams={"a": streams()["a"]})
    loop = Loop(sitting.checkpointer, sitting.metrics, sitting.stopper)
    with pytest.raises(ConfigError, match="phase 'main' reads the data stream 'b'; there are a"):
        loop.run(job)
    assert sitting.update.asked == []
