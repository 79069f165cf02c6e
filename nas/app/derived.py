"""The genotype of a search from its last checkpoint, whether the search has ended or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig

from nas.app import budgeted
from nas.app.candidates import QUERIES, RunCandidates
from nas.app.changed import tell_changed
from nas.app.effect import trains
from nas.app.extend import last_of
from nas.app.found import genotype_file
from nas.app.pictures import graph_of
from nas.app.reopen import reopen, saved_config
from nas.build import Parts
from nas.decision import Genotype
from nas.engine.checkpoint import Loaded
from nas.errors import NasError
from nas.genotype import GenotypeFile
from nas.store.folder import RunFolder
from nas.store.record import Record

if TYPE_CHECKING:
    from nas.data import ArrayData


@dataclass(frozen=True)
class Derived:
    """What a checkpoint holds of an architecture.

    Attributes:
        file: the genotype.
        graph: it as a graph, or None where the space draws none.
        epochs: of the search that were complete, of ``total``.
        steps: that were done.
        sentence: how a derivation found it; empty where it was read off the policy.
    """

    file: GenotypeFile
    graph: Any
    epochs: int
    total: int
    steps: int
    sentence: str = ""


def derived(folder: RunFolder, plugins: Sequence[str]) -> Derived:
    """The genotype that the last checkpoint of a search holds; the run is left as it is.

    It is derived from the policy under the run's budget, for which no data is loaded, or found by
    the derivation of the strategy, which scores paths on the run's held-out data with the supernet
    of that checkpoint. Raises NasError for a run that is being worked on, holds no checkpoint of a
    search, or had none; and where its data are not there or were changed.
    """
    cfg = saved_config(folder, plugins)
    cfg.device = "cpu"
    if cfg.strategy.get("derivation") is None:
        return _of_policy(cfg, folder)
    if not trains(cfg):
        raise NasError(
            f"the strategy of {folder.path} trains no supernet, so that there is no checkpoint to "
            "derive from; see its genotype with nas show"
        )
    return _of_paths(cfg, folder)


def _of_policy(cfg: DictConfig, folder: RunFolder) -> Derived:
    tell_changed(folder, cfg)
    with folder.lock():
        parts = Parts(cfg, cast("ArrayData", SimpleNamespace(spec=folder.data_spec())))
        loaded = _load(parts, folder)
        return _derived(parts, folder, loaded, budgeted.derived(parts).choices)


def _of_paths(cfg: DictConfig, folder: RunFolder) -> Derived:
    with reopen(cfg, folder) as session, TemporaryDirectory() as scratch:
        parts = session.parts
        loaded = _load(parts, folder)
        assert parts.derivation is not None
        # Scores that the run keeps may be of a later checkpoint.
        found = parts.derivation(RunCandidates(session, Path(scratch) / QUERIES))
        return _derived(parts, folder, loaded, found.choices, found.sentence)


def _load(parts: Parts, folder: RunFolder) -> Loaded:
    loaded = last_of(folder)
    parts.update.load_state_dict(loaded.state["update"])
    return loaded


def _derived(
    parts: Parts, folder: RunFolder, loaded: Loaded, choices: Genotype, sentence: str = ""
) -> Derived:
    where = {"epochs": loaded.epoch, "steps": loaded.step}
    file = genotype_file(parts, choices, Record(folder).choices, folder.hash, where)
    graph = graph_of(parts.space, choices)
    return Derived(file, graph, loaded.epoch, int(parts.cfg.trainer.epochs), loaded.step, sentence)
