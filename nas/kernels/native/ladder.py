"""A tensor at a mixture of nested quantizations, each pass in one."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.levels import Levels
from nas.kernels.native import build
from nas.kernels.portable import ladder as portable_ladder

MOST_RUNGS = 4


def ladder(x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
    """``clip * (g_0 offset + sum_j g_j rung_j(x / clip))``, shape as of ``x``.

    It serves dense tensors of fp32 or fp64 on the CPU and up to four rungs; the portable one
    computes the others.
    """
    if not _serves(x, levels):
        return portable_ladder(x, clip, gates, levels)
    numbers = (x.contiguous(), clip.to(x.dtype), gates.to(x.dtype).contiguous())
    if not torch.is_grad_enabled():
        return _forward(*numbers, levels)
    return cast(Tensor, _Ladder.apply(*numbers, levels))


def _serves(x: Tensor, levels: Levels) -> bool:
    return x.device.type == "cpu" and len(levels.steps) <= MOST_RUNGS and build.available(x.dtype)


def _forward(x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
    y = torch.empty_like(x)
    build.call(
        "ladder_forward",
        x.dtype,
        *(x.numel(), len(levels.steps), x, clip, gates, levels.packed, y),
    )
    return y


class _Ladder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
        ctx.save_for_backward(x, clip, gates)
        ctx.levels = levels
        return _forward(x, clip, gates, levels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, clip, gates = ctx.saved_tensors
        levels: Levels = ctx.levels
        gradients = [torch.empty_like(tensor) for tensor in (x, clip, gates)]
        build.call(
            "ladder_backward",
            x.dtype,
            *(x.numel(), len(levels.steps), x, clip, gates, levels.packed),
            *(g.contiguous(), *gradients),
        )
        return *gradients, None
