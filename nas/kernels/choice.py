"""The sets of kernels, and which of them serves an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from nas.kernels import portable
from nas.kernels.term import Term

Moments = tuple[Tensor, Tensor, Tensor]  # a value, its mean and its biased variance per channel


@dataclass(frozen=True)
class Kernels:
    """One implementation of every kernel; ``nas.kernels.portable`` says what they compute.

    Attributes:
        name: ``portable`` or ``native``.
        serves: whether an input (N, C, ...) can be given to them.
    """

    name: str
    serves: Callable[[Tensor], bool]
    separable: Callable[..., Moments]
    pointwise: Callable[[Tensor, Tensor], Moments]
    mixture: Callable[[Sequence[Term], Tensor], tuple[Tensor, ...]]
    max_pool: Callable[[Tensor, int], Moments]
    avg_pool: Callable[[Tensor, int], Moments]

    def usable(self) -> bool:
        """Whether they may run now: autocast chooses types for modules, not for kernels."""
        return not torch.is_autocast_enabled("cpu") and not torch.is_autocast_enabled("cuda")

    def for_input(self, x: Tensor) -> Kernels:
        """These kernels, or the portable ones if these do not serve ``x``."""
        return self if self.serves(x) else portable_kernels()


@cache
def portable_kernels() -> Kernels:
    """The kernels in plain PyTorch, which serve every input."""
    return _of("portable", portable, lambda x: True)


@cache
def native_kernels() -> Kernels | None:
    """The kernels in C++, for fp32 and fp64 images on the CPU; None if they do not build."""
    from nas.kernels import native

    return _of("native", native, _dense_image) if native.available() else None


def _of(name: str, module: Any, serves: Callable[[Tensor], bool]) -> Kernels:
    pointwise = getattr(module, "pointwise", portable.pointwise)
    kinds = (module.separable, pointwise, module.mixture, module.max_pool, module.avg_pool)
    return Kernels(name, serves, *kinds)


def _dense_image(x: Tensor) -> bool:
    precise = x.dtype in (torch.float32, torch.float64)
    return x.dim() == 4 and x.device.type == "cpu" and precise
