"""One sitting of a run: its folder, its parts, and what is shared by all stages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas import console
from nas.app.board import Board
from nas.app.finished import check_same
from nas.app.naming import chosen, used_sources
from nas.app.progress import ProgressBars
from nas.build import Parts, data_source, plain
from nas.data import check_record, describe, split_record
from nas.dataspec import DataSpec
from nas.engine.checkpoint import Checkpointer
from nas.engine.cuda_graphs import resolve_graph
from nas.engine.device import pick_device, set_threads
from nas.engine.execution import check_execution, resolve_execution
from nas.engine.loop import Job, Loop, Outcome
from nas.engine.signals import InterruptedRunError, Stopper
from nas.errors import NasError
from nas.files import make_directory, read_json, remove_temporaries, write_atomic, write_json
from nas.store.environment import continued, environment, sources
from nas.store.folder import GOING, GONE, RunFolder
from nas.store.identity import own_source_digest
from nas.store.metrics import MetricsFile


@dataclass
class Session:
    """A run being worked on by this process."""

    cfg: DictConfig
    folder: RunFolder
    parts: Parts
    stopper: Stopper
    bars: ProgressBars
    board: Board
    choices: Mapping[str, str]
    stages: Sequence[str]
    metrics_file: Path | None = None  # where several stages of a folder may run at once

    @property
    def hash(self) -> str:
        """The run's own six digits: owner of its checkpoints."""
        return self.folder.hash

    def loop(self, job: Job) -> Outcome:
        """Run a job from its last checkpoint; says what was refused, and from where it goes on."""
        stage = job.stage
        checkpointer = Checkpointer(self.folder.checkpoints(stage), self.hash)
        loaded = checkpointer.latest()
        for sentence in checkpointer.refused:
            console.warn(sentence)
        if loaded is not None:
            console.say(f"{stage}: resumed from epoch {loaded.epoch} ({loaded.path.name})")
        self.folder.set_status("running", stage=stage)
        self.bars.metric = self.parts.task.primary
        loop = Loop(
            checkpointer,
            MetricsFile(self.metrics_file or self.folder.metrics),
            self.stopper,
            [self.bars, self.board],
            float(self.cfg.checkpoint_seconds),
        )
        return loop.run(job)


@contextmanager
def opened(cfg: DictConfig, stages: Sequence[str]) -> Iterator[Session]:
    """The session of a run; its status tells how it ended, whatever happens inside."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    folder = RunFolder.create(hydra.runtime.output_dir)
    choices = chosen(hydra)
    if "genotype" in cfg:  # no strategy had a part in it
        del choices["strategy"]
    with folder.lock():
        _tidy(folder)
        _prepare(cfg, folder)
        data = data_source(cfg).load()
        set_threads(cfg.threads, data.spec.size)
        console.table(describe(data))
        _write_inputs(cfg, folder, split_record(data), data.spec)
        _write_environment(cfg, folder, data.fingerprint, choices)
        check_record(data, read_json(folder.splits))
        with Stopper() as stopper, ProgressBars() as bars:
            # The test split is handed to `evaluate` alone: parts of a search never hold it.
            parts = Parts(cfg, data.without("test"), begun_with=_begun_with(cfg, folder))
            board = Board(folder.tb, enabled=bool(cfg.logger.tensorboard))
            session = Session(cfg, folder, parts, stopper, bars, board, choices, stages)
            try:
                with _recorded(session):
                    yield session
            finally:
                board.close()


def _begun_with(cfg: DictConfig, folder: RunFolder) -> str | None:
    """The execution of a search that is to go on bit for bit; None where it may be chosen anew."""
    recorded = read_json(folder.env).get("execution")
    if recorded is None or cfg.resume == "force" or (folder.path / "search.json").is_file():
        return None
    check_execution(recorded)
    return str(recorded)


@contextmanager
def _recorded(session: Session) -> Iterator[None]:
    folder = session.folder
    folder.set_status("running")
    try:
        yield
    except (InterruptedRunError, KeyboardInterrupt) as stop:
        _told(folder, "interrupted", stop)
        raise
    except Exception as error:
        _told(folder, "failed", error)
        raise
    folder.set_status("finished", stage="")


def _told(folder: RunFolder, state: str, error: BaseException) -> None:
    # On a full disk this fails as well; the first error is the one to show.
    with suppress(NasError):
        folder.set_status(state, message=str(error).split("\n")[0])


def _prepare(cfg: DictConfig, folder: RunFolder) -> None:
    """Apply ``fresh`` and ``resume``: what is there is kept, removed or refused."""
    if (folder.path / GOING).is_dir():
        _empty(folder)
    started = folder.env.is_file()
    if cfg.fresh or (cfg.resume == "never" and started):
        _empty(folder)
        return
    if cfg.resume == "must" and not started:
        raise NasError(f"resume=must, but nothing was started in {folder.path}; use resume=auto")
    check_same(cfg, folder)
    if started and cfg.resume != "force":
        before = sources(read_json(folder.env))[-1]
        if before != own_source_digest():
            raise NasError(
                f"{folder.path} was begun by another version of nas; resume=force goes on with "
                "this one, fresh=true starts again"
            )


def _empty(folder: RunFolder) -> None:
    """Take everything away; killed on the way, the next start does the rest of it."""
    going = make_directory(folder.path / GOING)
    for entry in list(folder.path.iterdir()):
        if entry.name not in (".lock", ".holder.json", ".hydra", GOING, GONE):
            entry.replace(going / entry.name)
    going.replace(folder.path / GONE)
    _tidy(folder)


def _tidy(folder: RunFolder) -> None:
    """Remove what is of no use, or was left half-written by a killed process."""
    shutil.rmtree(folder.path / GONE, ignore_errors=True)
    for place in [folder.path, *(path for path in folder.path.rglob("*") if path.is_dir())]:
        remove_temporaries(place)


def _write_inputs(
    cfg: DictConfig, folder: RunFolder, splits: Mapping[str, Any], spec: DataSpec
) -> None:
    if not folder.config.is_file():
        write_atomic(folder.config, OmegaConf.to_yaml(OmegaConf.create(plain(cfg))))
    if not folder.splits.is_file():
        write_json(folder.splits, splits)
    if not folder.data.is_file():
        write_json(folder.data, spec.to_json())


def _write_environment(
    cfg: DictConfig, folder: RunFolder, data: str, choices: Mapping[str, str]
) -> None:
    """Record where the run began; where ``resume=force`` lets it go on, by which source."""
    from hydra.core.hydra_config import HydraConfig

    if folder.env.is_file():
        record = continued(read_json(folder.env), own_source_digest())
    else:
        overrides = [str(text) for text in HydraConfig.get().overrides.task]
        device = str(pick_device(cfg.device))
        own = {group: choice for group, choice in choices.items() if "hydra/" not in group}
        record = environment(
            data,
            device=device,
            choices=own,
            overrides=overrides,
            plugins=used_sources(cfg),
        )
        if "execution" in cfg:
            record |= _how(cfg)
    write_json(folder.env, record)


def _how(cfg: DictConfig) -> dict[str, Any]:
    """What decides the last bits of a run, resolved for this machine."""
    device = pick_device(cfg.device)
    return {
        "execution": resolve_execution(cfg.execution, device, cfg.precision),
        "channels_last": bool(cfg.channels_last),
        "cuda_graph": resolve_graph(cfg.cuda_graph, device),
    }
