"""What an exporter is: it writes one file, and reads it back for the parity check."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from nas.errors import NasError

Run = Callable[[Tensor], object]  # a reloaded artifact: inputs -> its outputs

WRITTEN = "written"


class UnfitError(NasError):
    """A network that a format cannot hold; nothing is written, and the record says why."""


class Exporter(Protocol):
    """One format. ``network`` is what ``frozen_copy`` returns; the file carries the genotype."""

    def missing(self) -> str:
        """Why this format cannot be written here and what to install, else ``""``."""
        ...

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """Write the artifact atomically into ``directory``; ``example``: (batch, *input_shape)."""
        ...

    def reload(self, path: Path, network: nn.Module) -> Run:
        """Read the artifact back; ``network`` is for formats that hold weights only."""
        ...


@runtime_checkable
class Measuring(Protocol):
    """An exporter that says more of its artifact than how far its outputs are off."""

    def measure(
        self, path: Path, network: nn.Module, example: Tensor, seed: int
    ) -> Mapping[str, Any]:
        """JSON-able facts, empty where there are none.

        Where there are some they stand in for the tolerance of outputs, and NasError is raised for
        an artifact that is not what it should be.
        """
        ...


@dataclass(frozen=True)
class ExportRecord:
    """What became of one format.

    Attributes:
        format: safetensors, torch_export, onnx, onnx_float, or a user's exporter by dotted name.
        path: the artifact, None where none was written.
        bytes: its size.
        largest_difference: of its outputs to the eager network's, relative to max(1, abs(output)).
        status: ``written``, or ``not written: `` and the reason.
        facts: what a ``Measuring`` exporter says of it.
    """

    format: str
    path: Path | None
    bytes: int
    largest_difference: float | None
    status: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, root: Path | None = None) -> dict[str, Any]:
        """A JSON-able record; ``path`` is relative to ``root`` if given, so that a run can move."""
        path = None
        if self.path is not None:
            path = (self.path.relative_to(root) if root else self.path).as_posix()
        return {
            "format": self.format,
            "path": path,
            "bytes": self.bytes,
            "largest_difference": self.largest_difference,
            "status": self.status,
            **({"facts": dict(self.facts)} if self.facts else {}),
        }


def frozen_copy(network: nn.Module) -> nn.Module:
    """The network to export: a copy on the CPU, float32, in eval mode, without gradients."""
    plain = getattr(network, "_orig_mod", network)  # what torch.compile wrapped
    with torch.no_grad():
        found = cast(nn.Module, copy.deepcopy(plain))
    return found.to("cpu", torch.float32).eval().requires_grad_(False)
