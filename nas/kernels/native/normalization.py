"""Batch normalization from known statistics, and the moments of channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.native import build
from nas.kernels.normalization import Normalization
from nas.kernels.portable.pointwise import Pointwise


def normalized(z: Tensor, norm: Normalization) -> Tensor:
    """``(z - mean) * rstd * weight + bias`` (N, C, H, W) of ``z`` (N, C, H, W)."""
    numbers = (norm.mean, norm.rstd, norm.weight, norm.bias)
    value: Tensor = _Normalized.apply(z.contiguous(), *numbers, norm.through)
    return value


def moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) of ``z`` (N, C, H, W), outside the graph."""
    mean, variance = z.new_empty(z.shape[1]), z.new_empty(z.shape[1])
    build.call("moments", z.dtype, _shape(z), z.detach().contiguous(), mean, variance)
    return mean, variance


def pointwise(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``weight @ relu(x)`` (N, O, H, W) of ``x`` (N, C, H, W), ``weight`` (O, C), and its moments.

    The product is PyTorch's; the moments are outside the graph.
    """
    y: Tensor = Pointwise.apply(x, weight)
    return (y, *moments(y))


def _shape(z: Tensor) -> object:
    return build.sizes(z.shape[0], z.shape[1], math.prod(z.shape[2:]))


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        mean: Tensor,
        rstd: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        through: bool,
    ) -> Tensor:
        y = torch.empty_like(z)
        build.call("normalized_forward", z.dtype, _shape(z), z, mean, rstd, weight, bias, y)
        ctx.save_for_backward(z, mean, rstd, weight)
        ctx.through = through
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None) -> tuple[Tensor | None, ...]:
        if gy is None:
            return (None,) * 6
        z, mean, rstd, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        gz = torch.empty_like(z) if wanted[0] else None
        g_weight = torch.empty_like(mean) if wanted[3] else None
        g_bias = torch.empty_like(mean) if wanted[4] else None
        build.call(
            "normalized_backward",
            z.dtype,
            *(_shape(z), z, mean, rstd, weight, int(ctx.through)),
            *(gy.contiguous(), gz, g_weight, g_bias),
        )
        return gz, None, None, g_weight, g_bias, None
