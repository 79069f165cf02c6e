"""Sums and scalings per channel: what a batch normalization consists of, in few passes.

torch's own normalization on the CPU accumulates one element at a time; these forms are sums and
products of whole tensors, which it vectorises.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Values (C,) in a shape that broadcasts over ``like`` (N, C, ...)."""
    return values.view(1, -1, *([1] * (like.dim() - 2)))


def channel_sums(x: Tensor) -> Tensor:
    """Sums (C,) of ``x`` (N, C, ...) over everything but the channels."""
    return x.flatten(2).sum(2).sum(0)


def moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) of ``z`` (N, C, ...), outside the graph."""
    with torch.no_grad():
        count = z.numel() // z.shape[1]
        mean = channel_sums(z) / count
        return mean, channel_sums((z - spread(mean, z)).square_()) / count


def normalization_gradient(
    g: Tensor, z: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor | None, through: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of ``scale * (z - mean) * rstd`` with respect to ``z`` and ``scale``.

    Args:
        g: gradient (N, C, ...) of the output.
        z: the input (N, C, ...).
        mean: (C,).
        rstd: (C,).
        scale: (C,), or None for ones.
        through: whether mean and rstd are the statistics of ``z``.
    """
    centred = z - spread(mean, z)
    along = channel_sums(g * centred) * rstd  # sum of g * zhat
    factor = rstd if scale is None else rstd * scale
    gz = g * spread(factor, g)
    if through:
        count = z.numel() // z.shape[1]
        gz.addcmul_(centred, spread(-factor * rstd * along / count, z))
        gz.add_(spread(-factor * channel_sums(g) / count, z))
    return gz, along
