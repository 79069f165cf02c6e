"""A finished run opened again, to evaluate or export what it stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import DictConfig

from nas.app.board import Board
from nas.app.progress import ProgressBars
from nas.app.session import Session
from nas.build import Parts, data_source
from nas.data import check_record
from nas.engine.device import set_threads
from nas.engine.signals import Stopper
from nas.files import read_json
from nas.runs.folder import RunFolder


@contextmanager
def reopen(cfg: DictConfig, folder: RunFolder) -> Iterator[Session]:
    """The session of an earlier run: same settings and data, status and records left alone."""
    with folder.lock():
        data = data_source(cfg).load()
        set_threads(cfg.threads, data.spec.size)
        check_record(data, read_json(folder.splits))
        with Stopper() as stopper, ProgressBars() as bars:
            board = Board(folder.tb, enabled=False)
            parts = Parts(cfg, data.without("test"))
            yield Session(cfg, folder, parts, stopper, bars, board, choices={}, stages=())
