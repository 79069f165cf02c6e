"""What layers read, told to whoever watches, also where kernels run in the layers' place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from nas.kernels import Normalization


@dataclass(frozen=True)
class Reading:
    """What a layer reads, as far as it was computed: ``through(relu(norm(z)))``.

    Attributes:
        z: (N, C, ...) in front of a convolution, (..., C) in front of a linear layer.
        norm: of ``z``, without weight and bias; None leaves it out.
        relu: whether negative values are cut off.
        through: a depthwise convolution in between; None leaves it out.
        subsampled: whether ``z`` was cut down to the positions of a pointwise convolution's stride.
    """

    z: Tensor
    norm: Normalization | None = None
    relu: bool = False
    through: nn.Module | None = None
    subsampled: bool = False


Watcher = Callable[[nn.Module, Reading | None], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Inside, ``watcher(module, reading)`` hears of every module before it runs.

    ``reading`` is what a module with one tensor as its input reads, and None for any other. Layers
    that kernels take the place of are told all the same.
    """

    def hook(module: nn.Module, given: Any) -> None:
        single = len(given) == 1 and isinstance(given[0], Tensor)
        watcher(module, Reading(given[0]) if single else None)

    token = _watcher.set(watcher)
    handle = register_module_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
        _watcher.reset(token)


def tell(column: Sequence[nn.Module], reading: Reading) -> None:
    """Tell the watcher, if any, of equal layers that kernels run: one per edge.

    ``reading.z`` is (N, C, ...) if the edges share it, else (N, edges * C, ...), edge-major.
    """
    watcher = _watcher.get()
    if watcher is None:
        return
    for edge, layer in enumerate(column):
        channels = int((reading.through or layer).in_channels)  # type: ignore[arg-type]
        shared = reading.z.shape[1] == channels
        watcher(layer, reading if shared else _part(reading, edge * channels, channels))


def tell_separable(
    depthwise: Sequence[nn.Module],
    pointwise: Sequence[nn.Module],
    z: Tensor,
    norm: Normalization | None,
) -> None:
    """The same of ReLU, a depthwise and a pointwise convolution that run as one."""
    if _watcher.get() is None:
        return
    reading = Reading(z, norm, relu=True)
    tell(depthwise, reading)
    for edge, (first, second) in enumerate(zip(depthwise, pointwise, strict=True)):
        channels = int(first.in_channels)  # type: ignore[arg-type]
        shared = z.shape[1] == channels
        own = reading if shared else _part(reading, edge * channels, channels)
        tell([second], replace(own, through=first))


def _part(reading: Reading, start: int, channels: int) -> Reading:
    norm = reading.norm
    if norm is not None:
        mean, rstd = (each[start : start + channels] for each in (norm.mean, norm.rstd))
        norm = Normalization(mean, rstd, norm.through)
    return replace(reading, z=reading.z[:, start : start + channels], norm=norm)


def settled(reading: Reading, values: Tensor) -> Tensor:
    """``relu(norm(values))`` for values (..., C) picked out of ``reading.z``."""
    if reading.norm is not None:
        values = (values - reading.norm.mean) * reading.norm.rstd
    return torch.relu(values) if reading.relu else values
