"""The two scores of an architecture: inherited from the supernet, and trained alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf

from nas.app.board import Board
from nas.app.candidates import calibration_batches
from nas.app.inherit import trained_supernet
from nas.app.progress import ProgressBars
from nas.app.session import Session
from nas.app.stages.retrain import train_one
from nas.build import Parts, data_source
from nas.console import Task
from nas.decision import Choice
from nas.engine.evaluate import evaluate
from nas.engine.path_score import path_of
from nas.engine.signals import Stopper
from nas.files import read_json, write_json
from nas.store.folder import RunFolder

Choices = Mapping[str, Choice]
POLL_SECONDS = 1.0


def inherited(
    session: Session, run: RunFolder, todo: Sequence[Choices], batches: int
) -> list[float]:
    """The primary metric (n,) on validation of each path of the run's supernet.

    Kept in the session's folder as far as it came, so that a stopped command goes on. Statistics of
    batch normalization are those of ``batches`` training batches, or of each batch for 0.
    """
    file = session.folder.path / f"supernet-r{batches}.json"
    known: list[float] = read_json(file)["scores"] if file.is_file() else []
    if len(known) >= len(todo):
        return known[: len(todo)]
    parts, supernet = session.parts, trained_supernet(run, session)
    calibration = calibration_batches(parts, batches)
    bar = session.bars.task("supernet", len(todo), len(known))
    for choices in todo[len(known) :]:
        network = path_of(supernet, choices, calibration)
        figures = evaluate(network, parts.data, "validation", parts.task, device=parts.device)
        known.append(figures[parts.task.primary])
        write_json(file, {"scores": known})
        bar.advance()
    bar.finish()
    return known


def alone(session: Session, todo: Sequence[Choices], jobs: int) -> list[float]:
    """The primary metric (n,) on validation of each network, trained by itself."""
    names = {f"{place:03d}": choices for place, choices in enumerate(todo)}
    left = {name: names[name] for name in names if not _done(session.folder, name)}
    bar = session.bars.task("alone", len(todo), len(todo) - len(left))
    if jobs > 1 and len(left) > 1:
        _in_processes(session, left, min(jobs, len(left)), bar)
        left = {}
    for name, choices in left.items():
        train_one(session, name, choices)
        bar.advance()
    bar.finish()
    metric = session.parts.task.primary
    records = [read_json(session.folder.retrain(name) / "result.json") for name in names]
    shutil.rmtree(session.folder.path / "checkpoints", ignore_errors=True)
    return [float(record["validation"][metric]) for record in records]


def _done(folder: RunFolder, name: str) -> bool:
    return (folder.retrain(name) / "result.json").is_file()


def _in_processes(session: Session, todo: Mapping[str, Choices], jobs: int, bar: Task) -> None:
    """Share the networks out; each process writes what it finishes."""
    cfg = OmegaConf.to_yaml(session.cfg, resolve=True)
    path, shown = session.folder.path, 0
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        shares = [dict(list(todo.items())[part::jobs]) for part in range(jobs)]
        pending = {pool.submit(_work, cfg, path, share) for share in shares}
        while pending:
            ended, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            done = sum(_done(session.folder, name) for name in todo)
            bar.advance(done - shown)
            shown = done
            for job in ended:
                job.result()  # raises what went wrong in there


def _work(settings: str, path: Path, todo: Mapping[str, Choices]) -> None:
    """Train some of the networks in a process of its own, on one thread."""
    cfg = cast(DictConfig, OmegaConf.create(settings))
    data = data_source(cfg).load().without("test")
    torch.set_num_threads(1)
    folder = RunFolder(path)
    with Stopper() as stopper, ProgressBars(loops=False) as bars:
        board = Board(folder.tb, enabled=False)
        session = Session(cfg, folder, Parts(cfg, data), stopper, bars, board, {}, stages=())
        for name, choices in todo.items():
            train_one(session, name, choices)
