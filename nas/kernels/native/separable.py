"""ReLU (after a normalization or not), depthwise and pointwise convolution of several edges."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.native import build
from nas.kernels.normalization import Normalization


class _Settings(NamedTuple):
    stride: int
    padding: int
    dilation: int
    edges: int
    through: bool


def separable(
    x: Tensor,
    norm: Normalization | None,
    depthwise: Tensor,
    pointwise: Tensor,
    *,
    stride: int,
    dilation: int,
    edges: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """What ``nas.kernels.portable.separable`` computes, in one pass over (N, C, H, W).

    Kernels of 1, 3, 5 or 7, strides and dilations of 1 or 2.
    """
    padding = dilation * (depthwise.shape[-1] - 1) // 2
    through = norm is not None and norm.through
    mean, rstd = (None, None) if norm is None else (norm.mean, norm.rstd)
    settings = _Settings(stride, padding, dilation, edges, through)
    outputs = _Separable.apply(x.contiguous(), mean, rstd, depthwise, pointwise, settings)
    return cast("tuple[Tensor, Tensor, Tensor]", outputs)


def _shape(x: Tensor, depthwise: Tensor, settings: _Settings) -> ctypes.Array[ctypes.c_ssize_t]:
    batch, inputs, height, width = x.shape
    edges = settings.edges
    channels = depthwise.shape[0] // edges
    kernel = depthwise.shape[-1]
    numbers = (height, width, kernel, settings.stride, settings.padding, settings.dilation)
    return build.sizes(batch, channels, edges, int(inputs == channels), *numbers)


def _output(x: Tensor, depthwise: Tensor, settings: _Settings) -> Tensor:
    reach = settings.dilation * (depthwise.shape[-1] - 1) + 1
    rows, cols = (
        (extent + 2 * settings.padding - reach) // settings.stride + 1 for extent in x.shape[2:]
    )
    return x.new_empty(x.shape[0], depthwise.shape[0], rows, cols)


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean: Tensor | None,
        rstd: Tensor | None,
        depthwise: Tensor,
        pointwise: Tensor,
        settings: _Settings,
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = _output(x, depthwise, settings)
        mean_y, variance_y = x.new_empty(y.shape[1]), x.new_empty(y.shape[1])
        build.call(
            "separable_forward",
            x.dtype,
            *(_shape(x, depthwise, settings), x, mean, rstd, depthwise, pointwise),
            *(y, mean_y, variance_y),
        )
        ctx.settings = settings
        ctx.save_for_backward(x, mean, rstd, depthwise, pointwise)
        ctx.mark_non_differentiable(mean_y, variance_y)
        ctx.set_materialize_grads(False)
        return y, mean_y, variance_y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if gy is None:
            return (None,) * 6
        x, mean, rstd, depthwise, pointwise = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        gx = torch.empty_like(x) if wanted[0] else None
        g_depthwise = torch.empty_like(depthwise) if wanted[3] else None
        g_pointwise = torch.empty_like(pointwise) if wanted[4] else None
        build.call(
            "separable_backward",
            x.dtype,
            *(_shape(x, depthwise, ctx.settings), x, mean, rstd, depthwise, pointwise),
            *(int(ctx.settings.through), gy.contiguous(), gx, g_depthwise, g_pointwise),
        )
        return gx, None, None, g_depthwise, g_pointwise, None
