"""``from=RUN``: a search that goes on where another one ended, in a folder of its own."""

from __future__ import annotations

from omegaconf import DictConfig

from nas import console
from nas.app.changed import tell_changed
from nas.app.session import Session
from nas.build import Parts
from nas.data import check_record
from nas.engine.checkpoint import Checkpointer, Loaded
from nas.errors import ConfigError, NasError
from nas.files import read_bytes, read_json, write_atomic
from nas.store.folder import RunFolder, resolve
from nas.store.metrics import MetricsFile


def extend(session: Session) -> None:
    """Take over the last checkpoint of the run that ``from`` names, unless this run has its own.

    Raises as `begun` does.
    """
    own = Checkpointer(session.folder.checkpoints("search"), session.hash)
    if not session.cfg.get("from") or own.files():
        return
    source, loaded = begun(session.cfg, session.parts)
    epochs = int(session.cfg.trainer.epochs)
    metrics = MetricsFile(session.folder.metrics)
    metrics.drop_stage("search")  # rows of a start that was killed before its checkpoint
    for row in MetricsFile(source.metrics).read():
        if row.get("stage") == "search" and row.get("epoch", epochs) < loaded.epoch:
            metrics.append(row)
    for epoch in range(loaded.epoch):
        file = source.genotype_at(epoch)
        if file.is_file():
            write_atomic(session.folder.genotype_at(epoch), read_bytes(file))
    own.save({**loaded.state, "metrics_size": metrics.size}, loaded.epoch, loaded.step)
    console.say(f"search: goes on from {source.label}, epoch {loaded.epoch} of {epochs}")


def begun(cfg: DictConfig, parts: Parts) -> tuple[RunFolder, Loaded]:
    """The run that ``from`` names and its last checkpoint, which is loaded into the update.

    Raises:
        NasError: that run has no checkpoint of a search that fits, other splits, or is running.
        ConfigError: it has been searched for as many epochs already.
    """
    source = resolve(str(cfg["from"]), str(cfg.runs))
    if source.held():
        raise NasError(f"{source.path} is running; wait for it to end, or stop it")
    check_record(parts.data, read_json(source.splits))
    tell_changed(source, cfg)
    loaded = last_of(source)
    epochs = int(cfg.trainer.epochs)
    if loaded.epoch >= epochs:
        raise ConfigError(
            f"{source.path} has been searched for {loaded.epoch} epochs already; "
            f"trainer.epochs must be larger, got {epochs}"
        )
    _check_fit(parts, source, loaded)
    return source, loaded


def last_of(run: RunFolder) -> Loaded:
    """The last usable checkpoint of a run's search; NasError saying why there is none."""
    checkpointer = Checkpointer(run.checkpoints("search"), run.hash)
    loaded = checkpointer.latest()
    if loaded is None:
        why = f": {checkpointer.refused[0]}" if checkpointer.refused else ""
        raise NasError(f"{run.path} holds no usable checkpoint of a search{why}")
    return loaded


def _check_fit(parts: Parts, source: RunFolder, loaded: Loaded) -> None:
    try:
        parts.update.load_state_dict(loaded.state["update"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise NasError(
            f"the checkpoint of {source.path} does not fit these settings; "
            "leave space, strategy and optim as they were there"
        ) from error
