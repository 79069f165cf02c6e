"""A run as an object: what its folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.genotype import GenotypeFile
from nas.genotype import load as load_genotype
from nas.store.folder import RunFolder, Status
from nas.store.metrics import MetricsFile

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Run:
    """One run's folder, read when asked; ``nas.Run("runs/latest")`` opens an earlier one."""

    folder: Path

    def __post_init__(self) -> None:
        from nas.store.folder import resolve

        path = Path(self.folder)
        here = RunFolder(path)
        found = here if here.is_run() else resolve(str(path), "runs")
        object.__setattr__(self, "folder", found.path)

    @property
    def status(self) -> Status:
        """How far the run is."""
        return RunFolder(self.folder).status()

    @property
    def genotype(self) -> GenotypeFile:
        """The genotype found; GenotypeError where there is none yet."""
        return load_genotype(RunFolder(self.folder).genotype)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One row per epoch of every stage: ``stage phase epoch step seconds metrics``."""
        return MetricsFile(RunFolder(self.folder).metrics).read()

    @property
    def result(self) -> dict[str, Any]:
        """The figures of the finished run; empty while there are none."""
        from nas.cli.ls import read_result

        return read_result(RunFolder(self.folder))

    def load(self, name: str = "found") -> nn.Module:
        """A retrained network with its weights; see `nas.load`."""
        from nas.api.networks import load

        return load(self.folder, name)

    def show(self) -> None:
        """Print what ``nas show`` prints."""
        from nas.cli.show import show

        show(str(self.folder), json=False)


def runs(folder: str | PathLike[str] = "runs") -> list[dict[str, Any]]:
    """One row per run under ``folder``, the last updated first, as ``nas ls --json`` has them."""
    from nas.cli.ls import rows

    return rows(folder)
