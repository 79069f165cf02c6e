"""The network as a torch.export program, runnable without this framework."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from nas.export.base import Run
from nas.files import read_bytes, write_atomic

BATCH: Any = ({0: Dim("batch")},)  # dynamic shapes: the first dimension of the one input


class Tracer:
    """Traces a network with a dynamic batch; two formats of one export share the trace."""

    def __init__(self) -> None:
        self._last: tuple[nn.Module, ExportedProgram] | None = None

    def __call__(self, network: nn.Module, example: Tensor) -> ExportedProgram:
        """The program of ``network``; ``example`` needs a batch of at least 2."""
        if self._last is None or self._last[0] is not network:
            with torch.no_grad():
                network(example)  # what modules read off their buffers once is read here
            program = torch.export.export(network, (example,), dynamic_shapes=BATCH)
            _forget_sources(program)
            self._last = (network, program)
        return self._last[1]


class ProgramExporter:
    """``model.pt2``: graph and weights, for ``torch.export.load`` in Python and C++."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._trace = tracer or Tracer()

    def missing(self) -> str:
        """Nothing: torch is always there."""
        return ""

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """Write ``model.pt2``, the genotype in it as the extra file ``genotype.json``."""
        buffer = io.BytesIO()
        program = self._trace(network, example)
        torch.export.save(program, buffer, extra_files={"genotype.json": genotype_text})
        return write_atomic(directory / "model.pt2", buffer.getbuffer())

    def reload(self, path: Path, network: nn.Module) -> Run:
        """The program in the file; ``network`` is not needed."""
        program = torch.export.load(io.BytesIO(read_bytes(path)))
        return cast(Run, program.module())


def _forget_sources(program: ExportedProgram) -> None:
    """Drop the source lines of each node: they name folders of this machine and double the file."""
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
