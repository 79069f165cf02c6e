"""Ways of running a network on the CPU: each turns a module and an input into something to time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from nas.engine.execution import kernels_of, resolve_execution
from nas.errors import ConfigError, NasError
from nas.export.onnx import OnnxExporter
from nas.searchable import set_execution

Run = Callable[[], object]
BACKENDS = ("eager", "compiled", "onnx")


class Backend(Protocol):
    """Prepares modules for timing.

    Attributes:
        name: one of ``BACKENDS``.
        execution: how the project's own modules run: plain, fused or native.
    """

    name: str
    execution: str

    def prepare(self, module: nn.Module, example: Tensor) -> Run:
        """One forward pass of ``module``, in eval mode, on ``example`` (batch, ...)."""
        ...


class Eager:
    """PyTorch, one operation after the other, by default as an exported module runs."""

    name = "eager"

    def __init__(self, execution: str = "plain") -> None:
        self.execution = resolve_execution(execution, torch.device("cpu"), "fp32")

    def prepare(self, module: nn.Module, example: Tensor) -> Run:
        """The module's own call."""
        set_execution(module, kernels_of(self.execution))
        return lambda: module(example)


class Compiled:
    """``torch.compile`` of each module, for the one shape that it is timed with."""

    name, execution = "compiled", "plain"

    def prepare(self, module: nn.Module, example: Tensor) -> Run:
        """The compiled call."""

        def run() -> object:
            return module(example)

        # Programs are kept by code object, a few for each: every module gets one of its own.
        run.__code__ = run.__code__.replace(co_name=f"run_{id(module)}")
        compiled: Run = torch.compile(run, dynamic=False)
        try:
            with torch.inference_mode():  # as it is timed: another mode would compile it again
                compiled()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise NasError(
                f"torch.compile cannot compile {type(module).__name__} here ({reason}); it needs a "
                "C++ compiler, or take backend=eager"
            ) from error
        return compiled


class Onnx:
    """ONNX Runtime on the file that ``nas export`` writes."""

    name, execution = "onnx", "plain"

    def __init__(self) -> None:
        self._exporter = OnnxExporter()
        missing = self._exporter.missing()
        if missing:
            raise ConfigError(
                f"backend=onnx needs onnx, onnxscript and onnxruntime ({missing}: pip install "
                "'.[export]'); or take backend=eager"
            )

    def prepare(self, module: nn.Module, example: Tensor) -> Run:
        """A session of the exported module; an identity takes no time in it and is run as it is."""
        if isinstance(module, nn.Identity):
            return lambda: example
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="nas-profile-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            two = example if len(example) > 1 else torch.cat([example, example])
            path = self._exporter(module, "", two, folder)
            session = self._exporter.reload(path, module)
        return lambda: session(example)


def backend_of(name: str, execution: str) -> Backend:
    """The backend of a name.

    Raises:
        ConfigError: it is unknown, needs what is not installed, or has no such execution.
    """
    if name not in BACKENDS:
        raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "eager":
        return Eager(execution)
    if execution != "plain":
        raise ConfigError(
            f"execution={execution} belongs to backend=eager: what is {name} runs plain modules; "
            "leave it out"
        )
    return Compiled() if name == "compiled" else Onnx()
