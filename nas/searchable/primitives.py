"""Operations that fused execution knows; every space can use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.kernels import Kernels, Moments


class Zero(nn.Module):
    """``none``: all zeros, of the size that ``stride`` leaves."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros (N, C, ... / stride)."""
        n, c, *size = x.shape
        return x.new_zeros(n, c, *((s + self.stride - 1) // self.stride for s in size))


class Noise(nn.Module):
    """Standard normal noise of the size that ``stride`` leaves, whatever comes in (1909.09656).

    Drawn anew at every call, in evaluation too, from torch's global generator; space S4 of the
    paper has it as the operation that no search should choose.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Noise (N, C, ... / stride)."""
        n, c, *size = x.shape
        kept = ((s + self.stride - 1) // self.stride for s in size)
        return x.new_empty(n, c, *kept).normal_()


class Pool(nn.Module, ABC):
    """3-wide pooling; ``set_execution`` says by which kernels."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.kernels: Kernels | None = None

    def use(self, kernels: Kernels | None) -> None:
        """Run by ``kernels`` from now on, or plain if None."""
        self.kernels = kernels

    @abstractmethod
    def pooled(self, x: Tensor, kernels: Kernels) -> Moments:
        """What it makes of ``x`` (N, C, ...), with its moments."""

    @abstractmethod
    def plain(self, x: Tensor) -> Tensor:
        """The same without kernels."""

    def forward(self, x: Tensor) -> Tensor:
        """Pooled values (N, C, ... / stride)."""
        if self.kernels is None or not self.kernels.usable():
            return self.plain(x)
        return self.pooled(x.contiguous(), self.kernels.for_input(x))[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kernels": None}


class AvgPool(Pool):
    """3-wide average pooling that leaves the padding out of the mean."""

    def pooled(self, x: Tensor, kernels: Kernels) -> Moments:
        """Means and their moments."""
        return kernels.avg_pool(x, self.stride)

    def plain(self, x: Tensor) -> Tensor:
        """Means."""
        if x.dim() == 3:
            return F.avg_pool1d(x, 3, self.stride, 1, count_include_pad=False)
        return F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)


class MaxPool(Pool):
    """3-wide max pooling."""

    def pooled(self, x: Tensor, kernels: Kernels) -> Moments:
        """Maxima and their moments."""
        return kernels.max_pool(x, self.stride)

    def plain(self, x: Tensor) -> Tensor:
        """Maxima."""
        pool = F.max_pool1d if x.dim() == 3 else F.max_pool2d
        found: Tensor = pool(x, 3, self.stride, 1)
        return found


class Halves(nn.Module):
    """Two convolutions of stride 2 side by side, the second on the input shifted by one pixel.

    Where the size is odd the shifted input is padded by one zero at its end, so that both agree.
    """

    def __init__(self, conv1: nn.Module, conv2: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv1, conv2

    def forward(self, x: Tensor) -> Tensor:
        """Half the size, rounded up: (N, C, ...) to (N, c1 + c2, ... / 2)."""
        return torch.cat([self.conv1(x), self.conv2(shifted(x))], 1)


def shifted(x: Tensor) -> Tensor:
    """``x`` (N, C, ...) from its second position on along every axis, of an even size again."""
    odd = [pad for size in reversed(x.shape[2:]) for pad in (0, size % 2)]
    x = x[..., 1:] if x.dim() == 3 else x[..., 1:, 1:]
    return F.pad(x, odd) if any(odd) else x
