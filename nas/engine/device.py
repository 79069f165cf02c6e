"""Where and in which precision a run computes."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from nas.errors import ConfigError

SMALL_INPUT = 256  # positions of an input up to which one thread is the fastest

Autocast = Callable[[], AbstractContextManager[Any]]


def pick_device(name: str) -> torch.device:
    """The device of ``auto``, ``cpu`` or ``cuda``; ConfigError if it is unknown or absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device=cuda, but torch sees no CUDA device; use device=auto or device=cpu"
        )
    return torch.device(name)


def autocast_of(device: torch.device, precision: str) -> Autocast:
    """The context of every forward: nothing for ``fp32``, autocast for ``bf16``."""
    if precision == "fp32":
        return nullcontext
    if precision == "bf16":
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    raise ConfigError(f"precision must be fp32 or bf16, got {precision!r}")


def check_layout(channels_last: bool, dims: int, device: torch.device) -> None:
    """Raise ConfigError if training is to lay out inputs with channels last and cannot.

    On the CPU torch's library then gives wrong gradients of 1x1 convolutions of stride 2 on few
    channels (seen with torch 2.15; github.com/uxlfoundation/oneDNN, issue 6035).
    """
    if channels_last and device.type != "cuda":
        raise ConfigError(
            "channels_last=true needs a GPU: on the CPU gradients of some convolutions would be "
            f"wrong; got device={device.type}, use channels_last=false"
        )
    if channels_last and dims != 2:
        raise ConfigError(
            f"channels_last=true is a layout of images, but these inputs have {dims} spatial axis "
            "instead of 2; use channels_last=false"
        )


def compile_cells(network: nn.Module) -> None:
    """Let ``torch.compile`` compile each of the network's ``cells``, or all of it if it has none.

    Cells of one shape share their code, so this costs less time than compiling the whole.
    """
    cells = getattr(network, "cells", None)
    for part in cells if isinstance(cells, nn.ModuleList) else [network]:
        part.compile()


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use so far: by tensors on a GPU, by this process on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def set_threads(wanted: int | None, size: Sequence[int]) -> int:
    """Set and return torch's CPU threads: ``wanted``, or what suits inputs of a spatial ``size``.

    Layers on inputs of up to 16x16 are so small that a second thread costs more in waiting than it
    computes, and far more where the cores are shared.
    """
    if wanted is not None and wanted < 1:
        raise ConfigError(f"threads must be at least 1, or null, got {wanted}")
    if wanted is not None:
        torch.set_num_threads(wanted)
    elif math.prod(size) <= SMALL_INPUT:
        torch.set_num_threads(1)
    return torch.get_num_threads()
