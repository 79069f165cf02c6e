"""Depthwise and pointwise convolutions in quantized numbers, which are never stored."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nas.kernels.levels import Levels
from nas.kernels.native import build
from nas.kernels.native.ladder import MOST_RUNGS
from nas.kernels.quantization import Quantization

KERNELS = (1, 3, 5, 7)
STEPS = (1, 2)  # strides and dilations
MOST_WEIGHTS = 128 * 128  # of a pointwise convolution: PyTorch's larger products are faster


def convolves(x: Tensor, layer: nn.Conv2d) -> bool:
    """Whether `quantized` computes what ``layer`` does to ``x`` (N, C, H, W)."""
    kernel, stride, dilation = layer.kernel_size[0], layer.stride[0], layer.dilation[0]
    pad = dilation * (kernel - 1) // 2
    depthwise = layer.groups == layer.in_channels == layer.out_channels
    pointwise = layer.groups == kernel == 1 and layer.weight.numel() <= MOST_WEIGHTS
    return (
        (depthwise or pointwise)
        and layer.bias is None
        and kernel in KERNELS
        and (stride in STEPS and dilation in STEPS)
        and layer.kernel_size == (kernel, kernel)
        and layer.stride == (stride, stride)
        and layer.dilation == (dilation, dilation)
        and layer.padding == (pad, pad)
        and layer.padding_mode == "zeros"
        and x.dtype == layer.weight.dtype
        and x.numel() > 0
    )


def quantized(
    x: Tensor,
    of_x: Quantization,
    weight: Tensor,
    of_weight: Quantization,
    *,
    stride: int,
    dilation: int,
) -> Tensor:
    """What ``nas.kernels.portable.quantized`` computes; ``x`` and ``weight`` alone are kept.

    Kernels of 1, 3, 5 or 7, strides and dilations of 1 or 2, up to four rungs.
    """
    settings = _Settings(stride, dilation, of_x.levels, of_weight.levels)
    tensors = [x, of_x.clip, of_x.gates, weight, of_weight.clip, of_weight.gates]
    dense = [tensor.to(x.dtype).contiguous() for tensor in tensors]
    assert max(len(of_x.gates), len(of_weight.gates)) <= MOST_RUNGS
    if torch.is_grad_enabled():
        return cast(Tensor, _Quantized.apply(*dense, settings))
    return _forward(dense, settings)


class _Settings(NamedTuple):
    stride: int
    dilation: int
    of_x: Levels
    of_weight: Levels

    def shape(self, x: Tensor, weight: Tensor) -> ctypes.Array[ctypes.c_ssize_t]:
        """What the kernels read: see quantized.cpp."""
        batch, channels, height, width = x.shape
        outputs, inner, kernel, _ = weight.shape
        padding = self.dilation * (kernel - 1) // 2
        rungs = (len(self.of_x.steps), len(self.of_weight.steps))
        pointwise = outputs if inner == channels and kernel == 1 else 0
        return build.sizes(
            *(batch, channels, 1, 1, height, width, kernel, self.stride, padding, self.dilation),
            *(*rungs, pointwise),
        )


def _forward(tensors: list[Tensor], settings: _Settings) -> Tensor:
    x, clip_x, gates_x, weight, clip_w, gates_w = tensors
    batch, _, height, width = x.shape
    stride = settings.stride
    y = x.new_empty(batch, len(weight), (height - 1) // stride + 1, (width - 1) // stride + 1)
    build.call(
        "quantized_forward",
        x.dtype,
        *(settings.shape(x, weight), x, clip_x, gates_x, settings.of_x.packed),
        *(weight, clip_w, gates_w, settings.of_weight.packed, y),
    )
    return y


class _Quantized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *tensors, settings = arguments
        ctx.save_for_backward(*tensors)
        ctx.settings = settings
        return _forward(tensors, settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        tensors, settings = ctx.saved_tensors, ctx.settings
        x, clip_x, gates_x, weight, clip_w, gates_w = tensors
        gradients = [torch.empty_like(tensor) for tensor in tensors]
        build.call(
            "quantized_backward",
            x.dtype,
            *(settings.shape(x, weight), x, clip_x, gates_x, settings.of_x.packed),
            *(weight, clip_w, gates_w, settings.of_weight.packed, gy.contiguous(), *gradients),
        )
        return *gradients, None
