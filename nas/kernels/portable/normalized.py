"""Batch normalization from statistics that are already known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.portable.channels import normalization_gradient, spread


class Normalized(torch.autograd.Function):
    """``(z - mean) * rstd`` per channel; the gradient can pass through the statistics of ``z``."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, mean: Tensor, rstd: Tensor, through: bool) -> Tensor:
        """Shape (N, C, ...) like ``z``; mean and rstd are (C,)."""
        ctx.save_for_backward(z, mean, rstd)
        ctx.through = through
        return torch.addcmul(spread(-mean * rstd, z), z, spread(rstd, z))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient of ``z``."""
        z, mean, rstd = ctx.saved_tensors
        return normalization_gradient(g, z, mean, rstd, None, ctx.through)[0], None, None, None


def normalized(z: Tensor, mean: Tensor, rstd: Tensor, through: bool) -> Tensor:
    """``(z - mean) * rstd`` (N, C, ...); see ``Normalized``."""
    value: Tensor = Normalized.apply(z, mean, rstd, through)
    return value
