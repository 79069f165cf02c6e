"""Batch normalization from statistics that are already known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.normalization import Normalization
from nas.kernels.portable.channels import channel_sums, normalization_gradient, spread


class Normalized(torch.autograd.Function):
    """See `normalized`; the gradient can pass through the statistics of ``z``."""

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
        """Shape (N, C, ...) like ``z``; all others are (C,)."""
        ctx.save_for_backward(z, mean, rstd, weight)
        ctx.through = through
        scale = rstd if weight is None else rstd * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return torch.addcmul(spread(shift, z), z, spread(scale, z))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of ``z``, weight and bias."""
        z, mean, rstd, weight = ctx.saved_tensors
        gz, g_weight = normalization_gradient(g, z, mean, rstd, weight, ctx.through)
        wanted = ctx.needs_input_grad
        g_bias = channel_sums(g) if wanted[4] else None
        return gz, None, None, g_weight if wanted[3] else None, g_bias, None


def normalized(z: Tensor, norm: Normalization) -> Tensor:
    """``(z - mean) * rstd * weight + bias`` (N, C, ...) of ``z`` (N, C, ...)."""
    numbers = (norm.mean, norm.rstd, norm.weight, norm.bias)
    value: Tensor = Normalized.apply(z, *numbers, norm.through)
    return value
