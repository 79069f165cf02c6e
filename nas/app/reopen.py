"""A run opened again, to evaluate, export or report what it stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas.app.board import Board
from nas.app.changed import tell_changed
from nas.app.config import places
from nas.app.progress import ProgressBars
from nas.app.session import Session
from nas.build import Parts, data_source
from nas.data import check_record
from nas.engine.device import set_threads
from nas.engine.signals import Stopper
from nas.errors import ConfigError, NasError
from nas.files import read_json
from nas.plugins import packages, top
from nas.store.folder import RunFolder
from nas.store.record import Record


def saved_config(folder: RunFolder, plugins: Sequence[str]) -> DictConfig:
    """The settings of a run, for a user who trusts the modules ``plugins``.

    Raises:
        NasError: the folder is no run's, or its settings cannot be read.
        ConfigError: the run was made with further modules of a user's own.
    """
    if not folder.config.is_file():
        raise NasError(f"{folder.path} holds no config.yaml; it is not the folder of a run")
    try:
        saved = OmegaConf.load(folder.config)
    except Exception as error:  # of the disk, of YAML or of OmegaConf
        raise NasError(f"{folder.config} cannot be read ({type(error).__name__})") from error
    if not isinstance(saved, DictConfig) or not {"space", "data", "plugins"} <= set(saved):
        raise NasError(f"{folder.config} holds no settings; it is not what a run wrote")
    allowed = packages(plugins)
    if any(top(str(name)) not in allowed for name in saved.plugins):
        raise ConfigError(
            f"{folder.path} was made with modules of a user's own; if you trust them, "
            f"add plugins=[{','.join(saved.plugins)}] to the command"
        )
    saved.plugins = list(plugins)  # what may be loaded is never read from a file
    return saved


def move_data(saved: DictConfig, data: Mapping[str, Any]) -> None:
    """Put into the settings of a run where its data lie now.

    Raises ConfigError for any other setting of the data: it would be of another run.
    """
    known = places(saved.data, saved.plugins)
    for name, value in data.items():
        if name not in known:
            there = ", ".join(f"data.{place}" for place in known) or "nothing"
            raise ConfigError(
                f"data.{name} of a run cannot be changed, only where its data lie ({there}); "
                "leave it out, or start a run of its own"
            )
        saved.data[name] = value


@contextmanager
def reopen(cfg: DictConfig, folder: RunFolder) -> Iterator[Session]:
    """The session of an earlier run: same settings and data, status and records left alone."""
    tell_changed(folder, cfg)
    with folder.lock():
        data = data_source(cfg).load()
        set_threads(cfg.threads, data.spec.size)
        check_record(data, read_json(folder.splits))
        with Stopper() as stopper, ProgressBars() as bars:
            board = Board(folder.tb, enabled=False)
            parts = Parts(cfg, data.without("test"))
            choices = Record(folder).choices
            yield Session(cfg, folder, parts, stopper, bars, board, choices, stages=())
