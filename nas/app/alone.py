"""Many networks, each trained by itself: in this process or shared out among several."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf

from nas.app.board import Board
from nas.app.progress import ProgressBars
from nas.app.session import Session
from nas.app.stages.retrain import train_one
from nas.build import Parts, data_source
from nas.console import Task
from nas.decision import Choice
from nas.engine.signals import Stopper
from nas.files import read_json
from nas.store.folder import RunFolder

POLL_SECONDS = 1.0
Choices = Mapping[str, Choice]


@dataclass(frozen=True)
class Training:
    """One network to train: its folder's name, its genotype, the seed of weights and batches."""

    name: str
    choices: Choices
    seed: int


Train = Callable[[Session, Training], Any]
"""Trains one network in the session's folder and leaves its ``result.json``; a function that other
processes can import."""


def train(session: Session, training: Training) -> None:
    """Train a network as a run's own are trained."""
    train_one(session, training.name, training.choices)


def train_all(
    session: Session, todo: Sequence[Training], jobs: int, one: Train = train
) -> list[Mapping[str, Any]]:
    """Train what is not trained yet, in ``jobs`` processes; the ``result.json`` of each.

    A stopped command goes on: in the networks that were being trained, from their checkpoints.
    """
    left = [training for training in todo if not _done(session.folder, training)]
    bar = session.bars.task("alone", len(todo), len(todo) - len(left))
    if jobs > 1 and len(left) > 1:
        _in_processes(session, left, min(jobs, len(left)), one, bar)
    else:
        _here(session, left, one, bar)
    bar.finish()
    shutil.rmtree(session.folder.path / "checkpoints", ignore_errors=True)
    return [read_json(session.folder.retrain(each.name) / "result.json") for each in todo]


def _done(folder: RunFolder, training: Training) -> bool:
    return (folder.retrain(training.name) / "result.json").is_file()


def _here(session: Session, todo: Sequence[Training], one: Train, bar: Task | None = None) -> None:
    seeded = {session.cfg.seed: session}
    for training in todo:
        if training.seed not in seeded:
            cfg = OmegaConf.merge(session.cfg, {"seed": training.seed})
            assert isinstance(cfg, DictConfig)
            seeded = {
                training.seed: replace(session, cfg=cfg, parts=Parts(cfg, session.parts.data))
            }
        # Its own rows: several processes may train in one folder.
        metrics = session.folder.retrain(training.name) / "metrics.jsonl"
        one(replace(seeded[training.seed], metrics_file=metrics), training)
        if bar is not None:
            bar.advance()


def _in_processes(
    session: Session, todo: Sequence[Training], jobs: int, one: Train, bar: Task
) -> None:
    """Share the networks out; each process writes what it finishes."""
    cfg = OmegaConf.to_yaml(session.cfg, resolve=True)
    path, shown = session.folder.path, 0
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        pending = {pool.submit(_work, cfg, path, todo[part::jobs], one) for part in range(jobs)}
        while pending:
            ended, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            done = sum(_done(session.folder, training) for training in todo)
            bar.advance(done - shown)
            shown = done
            for job in ended:
                job.result()  # raises what went wrong in there


def _work(settings: str, path: Path, todo: Sequence[Training], one: Train) -> None:
    """Train some of the networks in a process of its own, on one thread."""
    cfg = cast(DictConfig, OmegaConf.create(settings))
    torch.set_num_threads(1)
    with _session(cfg, RunFolder(path)) as session:
        _here(session, todo, one)


@contextmanager
def _session(cfg: DictConfig, folder: RunFolder) -> Iterator[Session]:
    data = data_source(cfg).load().without("test")
    with Stopper() as stopper, ProgressBars(loops=False) as bars:
        board = Board(folder.tb, enabled=False)
        yield Session(cfg, folder, Parts(cfg, data), stopper, bars, board, {}, stages=())
