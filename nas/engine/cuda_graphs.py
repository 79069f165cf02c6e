"""Whether steps run as CUDA graphs, and torch's way of capturing them."""

from __future__ import annotations

import torch

from nas.engine.graphed import Call, Captured, Graphed, Metrics
from nas.errors import ConfigError
from nas.strategies import Capturable, Update


def resolve_graph(wanted: str | bool, device: torch.device) -> bool:
    """Whether to capture steps, for ``auto``, True or False: on a GPU where possible.

    Raises:
        ConfigError: for True without a GPU.
    """
    if wanted is True and device.type != "cuda":
        raise ConfigError(
            f"cuda_graph=true needs a GPU, got device={device.type}; use cuda_graph=auto or "
            "device=cuda"
        )
    return wanted is not False and device.type == "cuda"


def graphed_or_why(
    update: Update, wanted: str | bool, device: torch.device, *, compiled: bool = False
) -> tuple[Graphed | None, str]:
    """The update with captured steps; else None, and why where that is worth a word.

    Without a GPU there is none, whatever is wanted: a run that was trained on one can be looked at
    elsewhere.

    Raises:
        ConfigError: if a graph is wanted in any case and these steps cannot be captured.
    """
    if device.type != "cuda" or not resolve_graph(wanted, device):
        return None, ""
    why = _obstacle(update, compiled)
    if why is None:
        return Graphed(update, CudaGraphs(device), must=wanted is True), ""
    if wanted is True:
        raise ConfigError(f"cuda_graph=true, but {why}; use cuda_graph=auto or cuda_graph=false")
    return None, why


def _obstacle(update: Update, compiled: bool) -> str | None:
    if compiled:
        return "compile=true may compile again at any step"
    if not isinstance(update, Capturable):
        return f"{type(update).__name__} does not say that its steps can be captured"
    return update.obstacle()


class CudaGraphs:
    """Captures on a stream of its own, on which the steps before a capture run as well.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def eager(self, call: Call) -> Metrics:
        """Run a step on the stream of the captures; what follows on the usual one waits for it."""
        usual = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            found = call()
        usual.wait_stream(self._stream)
        return found

    def capture(self, call: Call) -> Captured:
        """Record a step; RuntimeError if it reads from or sends to the host."""
        graph, usual = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._stream.device)
        # The outer context: a capture that fails does not leave its stream by itself.
        with torch.cuda.stream(usual), torch.cuda.graph(graph, stream=self._stream):
            metrics = call()
        return Captured(graph.replay, metrics)
