"""A tensor at a mixture of nested quantizations, with one copy of it kept."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.levels import Levels


def ladder(x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
    """``clip * (g_0 offset + sum_j g_j rung_j(x / clip))``, shape as of ``x``.

    Rounding passes gradients straight through, clipping passes them inside the range only. Nothing
    but ``x`` is kept for the backward pass.

    Args:
        x: any shape.
        clip: scalar, above 0.
        gates: (rungs,).
        levels: of the rungs.
    """
    if not torch.is_grad_enabled():
        return value(x, clip, gates, levels)
    return cast(Tensor, _Ladder.apply(x, clip, gates, levels))


def rungs(u: Tensor, levels: Levels) -> list[Tensor]:
    """What each rung adds, shapes as of ``u``: numbers in units of the clipping value, clipped."""
    left = u - levels.offset
    found = []
    for step in levels.steps:
        found.append(torch.round(left / step) * step)
        left = left - found[-1]
    return found


def inside(x: Tensor, clip: Tensor, levels: Levels) -> Tensor:
    """``x`` in units of the clipping value, clipped to the range; at least fp32."""
    wide = x if x.dtype == torch.float64 else x.float()
    return (wide / clip).clamp(levels.low, levels.high)


def value(x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
    """The mixture, in operations that gradients could pass and that can be exported."""
    found = rungs(inside(x, clip, levels), levels)
    total = gates[0] * (found[0] + levels.offset)
    for place in range(1, len(found)):
        total = total + gates[place] * found[place]
    return (clip * total).to(x.dtype)


class _Ladder(torch.autograd.Function):
    """The mixture, with its rungs computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
        ctx.save_for_backward(x, clip, gates)
        ctx.levels = levels
        return value(x, clip, gates, levels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, clip, gates = ctx.saved_tensors
        levels: Levels = ctx.levels
        u = (x if x.dtype == torch.float64 else x.float()) / clip
        within = (u > levels.low) & (u < levels.high)
        found = rungs(u.clamp(levels.low, levels.high), levels)
        found[0] = found[0] + levels.offset
        sums = torch.stack([(g * rung).sum() for rung in found])
        passed = torch.where(within, g, 0) * gates[0]
        return (
            passed.to(x.dtype),
            of_clip(sums, gates, (passed * u).sum(), x.numel(), levels).to(clip.dtype),
            (clip * sums).to(gates.dtype),
            None,
        )


def of_clip(sums: Tensor, gates: Tensor, passed: Tensor, count: int, levels: Levels) -> Tensor:
    """The gradient of the clipping value (scalar) from sums over all numbers.

    Args:
        sums: (rungs,), of gradient times rung.
        gates: (rungs,).
        passed: scalar, of gradient times number inside the range.
        count: of the numbers.
        levels: of the rungs.
    """
    return ((gates * sums).sum() - passed) / math.sqrt(count * levels.tempered)
