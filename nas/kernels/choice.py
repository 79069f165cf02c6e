"""The sets of kernels, and which of them serves an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nas.kernels import portable
from nas.kernels.levels import Levels
from nas.kernels.normalization import Normalization
from nas.kernels.term import Term

# A value with its mean and its biased variance per channel, or None twice where those would have
# cost a pass of their own.
Moments = tuple[Tensor, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class Kernels:
    """One implementation of every kernel; ``nas.kernels.portable`` says what they compute.

    Attributes:
        name: ``portable`` or ``native``.
        serves: whether an input (N, C, ...) can be given to them.
        convolves: whether ``quantized`` computes what a layer does to an input that they serve,
            and keeps no quantized tensor for the backward pass.
    """

    name: str
    serves: Callable[[Tensor], bool]
    normalized: Callable[[Tensor, Normalization], Tensor]
    separable: Callable[..., Moments]
    pointwise: Callable[[Tensor, Tensor], Moments]
    mixture: Callable[[Sequence[Term], Tensor], tuple[Tensor, ...]]
    max_pool: Callable[[Tensor, int], Moments]
    avg_pool: Callable[[Tensor, int], Moments]
    ladder: Callable[[Tensor, Tensor, Tensor, Levels], Tensor]
    quantized: Callable[..., Tensor]
    convolves: Callable[[Tensor, nn.Conv2d], bool]

    def usable(self) -> bool:
        """Whether they may run now: autocast chooses types for modules, not for kernels."""
        return not torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled("cuda")

    def for_input(self, x: Tensor) -> Kernels:
        """These kernels, or the portable ones if these do not serve ``x``."""
        return self if self.serves(x) else portable_kernels()


@runtime_checkable
class UsesKernels(Protocol):
    """A module that can compute by kernels."""

    kernels: Kernels | None

    def use(self, kernels: Kernels | None) -> None:
        """Compute by these from now on, or by plain PyTorch if None."""
        ...


@cache
def portable_kernels() -> Kernels:
    """The kernels in plain PyTorch, which serve every input."""
    return Kernels(
        "portable",
        lambda x: True,
        portable.normalized,
        portable.separable,
        portable.pointwise,
        portable.mixture,
        portable.max_pool,
        portable.avg_pool,
        portable.ladder,
        portable.quantized,
        lambda x, layer: False,
    )


@cache
def native_kernels() -> Kernels | None:
    """The kernels in C++, for fp32 and fp64 images on the CPU; None if they do not build.

    A pointwise convolution is a matrix product, which stays PyTorch's.
    """
    from nas.kernels import native

    if not native.available():
        return None
    return replace(
        portable_kernels(),
        name="native",
        serves=_dense_image,
        normalized=native.normalized,
        separable=native.separable,
        pointwise=native.pointwise,
        mixture=native.mixture,
        max_pool=native.max_pool,
        avg_pool=native.avg_pool,
        ladder=native.ladder,
        quantized=native.quantized,
        convolves=native.convolves,
    )


def _dense_image(x: Tensor) -> bool:
    from nas.kernels import native

    return x.dim() == 4 and x.device.type == "cpu" and native.available(x.dtype)
