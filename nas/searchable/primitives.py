"""Operations that fused execution knows; every space can use them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Zero(nn.Module):
    """``none``: all zeros, of the size that ``stride`` leaves."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros (N, C, ... / stride)."""
        n, c, *size = x.shape
        return x.new_zeros(n, c, *((s + self.stride - 1) // self.stride for s in size))


class AvgPool(nn.Module):
    """3-wide average pooling that leaves the padding out of the mean."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Means (N, C, ... / stride)."""
        if x.dim() == 3:
            return F.avg_pool1d(x, 3, self.stride, 1, count_include_pad=False)
        return F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)


class MaxPool(nn.Module):
    """3-wide max pooling."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maxima (N, C, ... / stride)."""
        pool = F.max_pool1d if x.dim() == 3 else F.max_pool2d
        pooled: Tensor = pool(x, 3, self.stride, 1)
        return pooled


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
