"""Runs that are interrupted, by the command line, and what a second start makes of them."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nas import files
from nas.app import session as sessions
from nas.cli import main
from nas.engine.checkpoint import Checkpointer
from nas.engine.rng import seed_everything
from nas.store.folder import RunFolder
from nas.store.metrics import MetricsFile

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "check_resume.py"
TINY = (
    "preset=smoke",
    "space.nodes=1",
    "space.operations=[none,skip_connect,max_pool_3x3]",
    "execution=plain",  # no kernels to compile
    "trainer.batch_size=128",
    "trainer.network_batch_size=256",
    "trainer.random_networks=1",
    "logger.tensorboard=false",
    "threads=1",
    "checkpoint_seconds=0",
    "stages=[search,derive,retrain,evaluate]",
)
EPOCHS = 3
# What is there when a run begins.
START = {".hydra", ".lock", ".holder.json", "config.yaml", "data.json", "env.json"}
START |= {"splits.json", "status.json"}


class KilledError(BaseException):
    """Ends a run as a kill would: nothing of ours catches it."""


def hashes(runs: Path) -> dict[str, str]:
    """What must not depend on interruptions, as the script that checks this compares it."""
    spec = importlib.util.spec_from_file_location("check_resume", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_resume"] = module
    spec.loader.exec_module(module)
    return dict(module.hashes(runs))


def nas(runs: Path, *more: str) -> int:
    seed_everything("as in another process", time.monotonic_ns())
    return main(["search", *TINY, f"runs={runs}", *more])


def folder_of(runs: Path) -> RunFolder:
    (path,) = (path.parent for path in runs.glob("*/*/status.json"))
    return RunFolder(path)


def checkpoints(runs: Path, stage: str = "search") -> list[Path]:
    return sorted(folder_of(runs).checkpoints(stage).glob("*.ckpt"))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def dying_at_epoch(epoch: int) -> Callable[[MetricsFile, Mapping[str, Any]], None]:
    """Between the row of an epoch of the search and its checkpoint."""
    append = MetricsFile.append

    def fatal(self: MetricsFile, row: Mapping[str, Any]) -> None:
        append(self, row)
        if (row["stage"], row["epoch"]) == ("search", epoch):
            raise KilledError

    return fatal


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    runs = tmp_path_factory.mktemp("whole")
    assert nas(runs) == 0
    return runs


@pytest.fixture(scope="module")
def expected(whole: Path) -> dict[str, str]:
    return hashes(whole)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed in the search, after the second epoch's row and before its checkpoint."""
    runs = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetricsFile, "append", dying_at_epoch(1))
        with pytest.raises(KilledError):
            nas(runs)
    assert folder_of(runs).status().state == "interrupted"
    return runs


@pytest.fixture
def half(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "runs", symlinks=True))


@pytest.fixture
def done(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "runs", symlinks=True))


def real_kill(runs: Path, sign: str, point: str, stage: str, nth: int) -> tuple[int, str]:
    """The command in a process of its own that kills itself at a point."""
    kill = {"number": 1, "sign": sign, "point": point, "stage": stage, "nth": nth}
    line = ["search", *TINY, f"runs={runs}"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--child", json.dumps(kill), *line],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=runs.parent,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stderr


def test_a_real_kill_leaves_half_a_checkpoint_and_no_trace_in_the_result(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    runs = tmp_path / "runs"
    assert real_kill(runs, "SIGKILL", "write", "search", 6)[0] == -signal.SIGKILL
    assert folder_of(runs).status().state == "interrupted"
    assert list(folder_of(runs).checkpoints("search").glob(".nas-*"))
    assert nas(runs) == 0
    assert hashes(runs) == expected
    assert folder_of(runs).status().state == "finished"
    assert not list(runs.rglob(".nas-*"))


@pytest.mark.slow
def test_two_real_kills_leave_no_trace_in_the_result(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    runs = tmp_path / "runs"
    assert real_kill(runs, "SIGKILL", "write", "search", 6)[0] == -signal.SIGKILL
    assert folder_of(runs).status().state == "interrupted"
    assert list(folder_of(runs).checkpoints("search").glob(".nas-*"))  # half a checkpoint
    status, told = real_kill(runs, "SIGTERM", "after rename", "retrain", 3)
    assert status == 128 + signal.SIGTERM
    assert "stopped by SIGTERM in retrain/found, epoch" in told
    assert folder_of(runs).status().state == "interrupted"
    assert nas(runs) == 0
    assert hashes(runs) == expected
    assert folder_of(runs).status().state == "finished"
    assert not list(runs.rglob(".nas-*"))


def test_refused_checkpoints_are_named_and_the_one_before_is_used(
    half: Path, expected: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    older, newest = checkpoints(half)
    damage(newest)
    folder = folder_of(half).checkpoints("search")
    foreign = Checkpointer(folder, "f00f00", keep=9).save({"n": 1}, 2, 99)
    assert nas(half) == 0
    out, told = capsys.readouterr()
    shown = " ".join((out + told).split())
    assert f"{newest.name} is not used: it is damaged" in shown
    assert f"{foreign.name} is not used: it belongs to run f00f00" in shown
    assert f"search: resumed from epoch 1 ({older.name})" in shown
    foreign.unlink()
    assert hashes(half) == expected


def test_a_genotype_is_derived_from_the_last_epoch_alone(
    done: Path, expected: dict[str, str]
) -> None:
    """Else a damaged last checkpoint would let an earlier policy through, unnoticed."""
    damage(checkpoints(done)[-1])
    genotype = folder_of(done).genotype
    genotype.unlink()
    assert nas(done, "stages=[search,derive]") == 0
    assert files.sha256(genotype) == expected["genotype.json"]
    assert checkpoints(done)[-1].name.startswith(f"{EPOCHS:04d}-")


@pytest.fixture
def stages_run(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """In place of running stages: what the folder held when they would have run."""
    seen: list[list[str]] = []

    def look(session: Any) -> None:
        seen.append(sorted(path.name for path in session.folder.path.iterdir()))

    monkeypatch.setattr("nas.app.verbs.run_stages", look)
    return seen


def test_resume_must_wants_a_run_and_never_starts_anew(
    half: Path, tmp_path: Path, stages_run: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert nas(tmp_path / "elsewhere", "resume=must") == 1
    assert "resume=must, but nothing was started in" in capsys.readouterr().err
    assert stages_run == []
    assert nas(half, "resume=must") == 0
    assert {"checkpoints", "metrics.jsonl"} <= set(stages_run[0])
    assert nas(half, "resume=never") == 0
    assert set(stages_run[1]) == START
    assert nas(half, "resume=maybe") == 2
    assert "resume must be one of auto, never, must, force" in capsys.readouterr().err


def test_other_sources_want_force(
    half: Path,
    stages_run: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sessions, "own_source_digest", lambda: "other")
    assert nas(half) == 1
    assert "resume=force goes on with this one, fresh=true starts again" in " ".join(
        capsys.readouterr().err.split()
    )
    assert stages_run == []
    assert nas(half, "resume=force") == 0
    assert "checkpoints" in stages_run[0]


def test_a_second_process_is_told_who_is_there(
    half: Path, stages_run: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_of(half).lock():
        assert nas(half) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"is in use by process {os.getpid()} on" in told
    assert stages_run == []


def test_a_full_disk_keeps_the_last_checkpoint(
    half: Path,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = files._write_synced
    full = False

    def fails(path: Path, payload: Any, flags: int) -> None:
        nonlocal full
        full = full or "checkpoints" in path.parts
        if full:
            path.touch()
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, payload, flags)

    before = [(path.name, files.sha256(path)) for path in checkpoints(half)]
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_synced", fails)
        assert nas(half) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "cannot write" in told
    assert ".ckpt: the disk is full: free some space" in told
    assert [(path.name, files.sha256(path)) for path in checkpoints(half)] == before
    assert folder_of(half).status().state in ("interrupted", "failed")
    assert nas(half) == 0
    assert hashes(half) == expected


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("trainer.batch_size=600", "batch size 600 is larger than the split 'weights'"),
        ("trainer.network_batch_size=5000", "batch size 5000 is larger than the split 'train'"),
        ("space.channels=6", "are not divisible by k=4; choose a number of channels that is"),
        ("data.validation=0", "validation must be a whole number of samples of at least 1"),
    ],
)
def test_settings_that_cannot_work_are_told_before_anything_is_trained(
    setting: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nas(tmp_path, setting) in (1, 2)
    told = " ".join(capsys.readouterr().err.split())
    assert sentence in told
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_search_that_diverges_says_where_and_keeps_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No weight is NaN yet when the loss is: what comes out of 1e30 squared is.
    assert nas(tmp_path, "optim.weights.lr=1e30", "optim.weights.weight_decay=0") == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"became {math.nan} in search, epoch 1, step " in told
    (kept,) = checkpoints(tmp_path)[-1:]
    assert f"the last good checkpoint, {kept.name}, is kept; lower the learning rate" in told
    status = folder_of(tmp_path).status()
    assert status.state == "failed"
    assert "in search, epoch 1" in status.message


def test_a_run_killed_after_its_last_file_is_finished(
    done: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(done).set_status("running", stage="evaluate")
    monkeypatch.setattr("nas.app.session.opened", None)  # nothing is opened, let alone run
    assert nas(done) == 0
    assert "already finished" in capsys.readouterr().out
    status = folder_of(done).status()
    assert (status.state, status.stage) == ("finished", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_an_export_is_obeyed_at_once(
    done: Path,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def exporting(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), number)
        pytest.fail("not interrupted")

    stage = importlib.import_module("nas.app.stages.export")
    monkeypatch.setattr(stage, "export_all", exporting)
    assert nas(done, "stages=[search,derive,retrain,evaluate,export]") == 128 + number
    assert "the same command resumes it" in " ".join(capsys.readouterr().err.split())
    status = folder_of(done).status()
    assert (status.state, status.stage) == ("interrupted", "export")


@pytest.mark.parametrize("moves", [0, 1, 7])
def test_a_kill_while_a_run_is_taken_away_leaves_nothing_of_it(
    done: Path,
    moves: int,
    stages_run: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, move = moves, Path.replace

    def fatal(self: Path, target: Any) -> Path:
        nonlocal left
        if Path(target).parent.name == ".going":
            if left == 0:
                raise KilledError
            left -= 1
        return move(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fatal)
        with pytest.raises(KilledError):
            nas(done, "fresh=true")
    assert stages_run == []
    assert nas(done) == 0
    (found,) = stages_run
    assert set(found) == START


def test_tensorboard_shows_every_epoch_once_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from nas.app.board import Board

    def sitting(stage: str, epochs: range) -> None:
        board = Board(tmp_path, enabled=True)
        board.begin(stage, 9, 0)
        for epoch in epochs:
            board.epoch({"stage": stage, "epoch": epoch, "metrics": {"loss/train": 0.5}})
        if stage != "search":  # the search was killed: what it had written is there all the same
            board.end()
            board.close()

    sitting("search", range(3))
    sitting("search", range(1, 5))
    sitting("retrain/found", range(2))
    for stage, epochs in {"search": 5, "retrain/found": 2}.items():
        events = EventAccumulator(str(tmp_path / stage)).Reload()
        assert [event.step for event in events.Scalars("loss/train")] == list(range(epochs))
