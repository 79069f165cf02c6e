"""TensorBoard: scalars, histograms of the decisions' weights, cells as figures, final metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.arch import Arch, Weights
from nas.files import explain

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Listens to the loop and writes event files; does nothing where it is not enabled.

    Every stage of the loop is a run of its own in TensorBoard, in the folder of its name: a resumed
    stage tells TensorBoard to drop the epochs that it does again, and those of no other stage.
    """

    def __init__(self, folder: Path, enabled: bool) -> None:
        self._folder, self._enabled = folder, enabled
        self._stage = ""
        self._open: dict[str, SummaryWriter] = {}

    def begin(self, stage: str, total: int, done: int) -> None:
        """What is written from now on belongs to this stage."""
        self._stage = stage

    def step(self, metrics: Mapping[str, float]) -> None:
        """Nothing: steps are averaged over the epoch."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """The epoch's means as scalars ``<metric>``, made to outlive a kill of this process."""
        if self._enabled:
            with self._explained():
                writer = self._writer(self._stage, row["epoch"])
                for name, value in row["metrics"].items():
                    writer.add_scalar(name, value, row["epoch"])
                writer.flush()

    def end(self) -> None:
        """What is written from now on belongs to no stage."""
        self._stage = ""

    def weights(self, arch: Arch, epoch: int) -> None:
        """Histograms of the decisions' weights, one per cell kind and kind of decision."""
        if self._enabled:
            with self._explained():
                for name, values in grouped(arch).items():
                    self._writer(self._stage, epoch).add_histogram(f"weights/{name}", values, epoch)

    def figure(self, name: str, figure: Figure, epoch: int) -> None:
        """A cell's picture."""
        if self._enabled:
            with self._explained():
                self._writer(self._stage, epoch).add_figure(f"cells/{name}", figure, epoch)

    def final(self, settings: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Settings and final metrics, so that a sweep sorts in the HParams tab."""
        if self._enabled:
            plain = {k: v for k, v in settings.items() if isinstance(v, str | int | float | bool)}
            with self._explained():
                self._writer("", None).add_hparams(plain, dict(metrics), run_name=".")

    def close(self) -> None:
        """Finish the event files; on a full disk what was flushed before is all there is."""
        while self._open:
            with suppress(OSError):
                self._open.popitem()[1].close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain(error, self._folder, "write") from error

    def _writer(self, stage: str, step: int | None) -> SummaryWriter:
        # Opened at the first write: importing the writer takes seconds, and only now is it known
        # from which epoch on an earlier sitting is written anew.
        if stage not in self._open:
            from torch.utils.tensorboard import SummaryWriter

            self._open[stage] = SummaryWriter(str(self._folder / stage), purge_step=step)
        return self._open[stage]


def grouped(arch: Arch) -> dict[str, Any]:
    """All weights under one prefix and of one length, flattened: ``normal/8``, ``reduce/8``."""
    import torch

    found: dict[str, list[Any]] = {}
    for name, weights in arch.items():
        if isinstance(weights, Weights):
            key = f"{name.split('/')[0]}/{weights.values.shape[-1]}"
            found.setdefault(key, []).append(weights.values.detach().flatten().cpu())
    return {key: torch.cat(values) for key, values in found.items()}
