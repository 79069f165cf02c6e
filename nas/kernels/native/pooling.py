"""3 x 3 pooling with a padding of 1, and the moments of its result."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.native import build


def max_pool(x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """The 3 x 3 maxima (N, C, H', W') of x (N, C, H, W), with the mean and variance per channel.

    Of equal values the first gets the gradient, as in PyTorch. The moments carry no gradient.
    """
    return cast("tuple[Tensor, Tensor, Tensor]", _MaxPool.apply(x, stride))


def avg_pool(x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """The 3 x 3 averages (N, C, H', W') of x (N, C, H, W), with the mean and variance per channel.

    The padding counts for nothing: at a border fewer values are averaged. The moments carry no
    gradient.
    """
    return cast("tuple[Tensor, Tensor, Tensor]", _AvgPool.apply(x, stride))


def _outputs(x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    batch, channels, height, width = x.shape
    y = x.new_empty(batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1)
    return y, x.new_empty(channels), x.new_empty(channels)


def _shape(shape: torch.Size, stride: int) -> object:
    batch, channels, height, width = shape
    return build.sizes(batch * channels, channels, height, width, stride)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, variance = _outputs(x, stride)
        codes = torch.empty_like(y, dtype=torch.uint8)
        build.call(
            "max_pool_forward", x.dtype, _shape(x.shape, stride), x, y, codes, mean, variance
        )
        ctx.shape, ctx.stride = x.shape, stride
        ctx.save_for_backward(codes)
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if gy is None:
            return None, None
        (codes,) = ctx.saved_tensors
        gx = gy.new_empty(ctx.shape)
        shape = _shape(ctx.shape, ctx.stride)
        build.call("max_pool_backward", gy.dtype, shape, codes, gy.contiguous(), gx)
        return gx, None


class _AvgPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, variance = _outputs(x, stride)
        build.call("avg_pool_forward", x.dtype, _shape(x.shape, stride), x, y, mean, variance)
        ctx.shape, ctx.stride = x.shape, stride
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if gy is None:
            return None, None
        gx = gy.new_empty(ctx.shape)
        build.call(
            "avg_pool_backward", gy.dtype, _shape(ctx.shape, ctx.stride), gy.contiguous(), gx
        )
        return gx, None
