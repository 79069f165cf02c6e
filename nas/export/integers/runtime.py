"""Models in ONNX Runtime: what it makes of them, and how long they take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.profile.timing import interleaved

ROUNDS, SECONDS = 15, 6.0  # readings of a time, fewer where they would take longer


def session_of(model: bytes, copy: Path | None = None) -> Any:
    """The model in ONNX Runtime on one thread of the CPU; ``copy``: where to write what it runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    if copy is not None:
        options.optimized_model_filepath = str(copy)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def optimized(model: bytes) -> Any:
    """The model, a ``ModelProto``, that ONNX Runtime makes of a model before it runs it."""
    import onnx  # optional, and only needed here

    with tempfile.TemporaryDirectory(prefix="nas-") as folder:
        path = Path(folder) / "optimized.onnx"
        session_of(model, path)
        return onnx.load(path)


def times_of(
    models: Mapping[str, bytes], input_shape: Sequence[int], rounds: int = ROUNDS
) -> dict[str, float]:
    """Median milliseconds of each model, one thread and batch 1, read in turns.

    It is processor time, in which other work of the machine does not count.
    """
    inputs = torch.randn(1, *input_shape, generator=torch.Generator().manual_seed(0)).numpy()
    runs = {name: _Run(session_of(file), inputs) for name, file in models.items()}
    first = next(iter(runs.values()))
    first()
    began = time.thread_time()
    first()
    often = SECONDS / (len(runs) + 1) / max(time.thread_time() - began, 1e-9)
    rounds = max(3, min(rounds, int(often)))
    timing = interleaved(runs, first, rounds, clock=time.thread_time)
    return {name: row.ms for name, row in timing.rows.items()}


@dataclass(frozen=True)
class _Run:
    session: Any
    inputs: NDArray[np.float32]

    def __call__(self) -> object:
        return self.session.run(None, {"input": self.inputs})
