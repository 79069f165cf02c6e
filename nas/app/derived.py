"""The genotype of a search from its last checkpoint, whether the search has ended or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from nas.app import budgeted
from nas.app.changed import tell_changed
from nas.app.extend import last_of
from nas.app.found import genotype_file
from nas.app.pictures import graph_of
from nas.app.reopen import saved_config
from nas.build import Parts
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
    """

    file: GenotypeFile
    graph: Any
    epochs: int
    total: int
    steps: int


def derived(folder: RunFolder, plugins: Sequence[str]) -> Derived:
    """Derive from the policy that the last checkpoint of a search holds, under the run's budget.

    The run is left as it is, and no data is loaded. Raises NasError for a run that is being worked
    on, holds no checkpoint of a search, or whose strategy has a derivation of its own.
    """
    cfg = saved_config(folder, plugins)
    cfg.device = "cpu"
    if cfg.strategy.get("derivation") is not None:
        raise NasError(
            f"the strategy of {folder.path} does not derive from a checkpoint alone; its search "
            "ends in genotype.json: finish it, or see the genotype with nas show"
        )
    tell_changed(folder, cfg)
    with folder.lock():
        loaded = last_of(folder)
        parts = Parts(cfg, cast("ArrayData", SimpleNamespace(spec=folder.data_spec())))
        parts.update.load_state_dict(loaded.state["update"])
        choices = budgeted.derived(parts).choices
        file = genotype_file(
            parts,
            choices,
            Record(folder).choices,
            folder.hash,
            {"epochs": loaded.epoch, "steps": loaded.step},
        )
    graph = graph_of(parts.space, choices)
    return Derived(file, graph, loaded.epoch, int(cfg.trainer.epochs), loaded.step)
