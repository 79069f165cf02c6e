"""ReLU and a pointwise convolution as matrix products, which the CPU library does faster."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Pointwise(torch.autograd.Function):
    """``weight @ relu(x)`` at every position; of the two only ``x`` is kept for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """``x`` (N, C, ...), ``weight`` (O, C): (N, O, ...)."""
        ctx.save_for_backward(x, weight)
        y = torch.bmm(_for_each(weight, x), x.relu().flatten(2))
        return y.view(x.shape[0], -1, *x.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of ``x`` and ``weight``, those that are needed."""
        x, weight = ctx.saved_tensors
        g = g.flatten(2)
        gx = gw = None
        if ctx.needs_input_grad[0]:
            gx = torch.bmm(_for_each(weight.t(), x), g).view_as(x)
            gx = torch.ops.aten.threshold_backward(gx, x, 0)
        if ctx.needs_input_grad[1]:
            gw = torch.bmm(g, x.relu().flatten(2).transpose(1, 2)).sum(0)
        return gx, gw


def pointwise(x: Tensor, weight: Tensor) -> tuple[Tensor, None, None]:
    """``weight @ relu(x)`` (N, O, ...) of ``x`` (N, C, ...), ``weight`` (O, C), without moments."""
    y: Tensor = Pointwise.apply(x, weight)
    return y, None, None


class GroupedPointwise(torch.autograd.Function):
    """``weight_e @ x_e`` at every position, for each edge e its own weights and channels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """``x`` (N, E * C, ...), ``weight`` (E, O, C): (N, E * O, ...)."""
        ctx.save_for_backward(x, weight)
        y = torch.matmul(weight, _by_edge(x, weight))
        return y.view(x.shape[0], -1, *x.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of ``x`` and ``weight``, those that are needed."""
        x, weight = ctx.saved_tensors
        split = g.reshape(g.shape[0], weight.shape[0], weight.shape[1], -1)
        gx = gw = None
        if ctx.needs_input_grad[0]:
            gx = torch.matmul(weight.transpose(1, 2), split).view_as(x)
        if ctx.needs_input_grad[1]:
            gw = torch.matmul(split, _by_edge(x, weight).transpose(2, 3)).sum(0)
        return gx, gw


def grouped_pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """The pointwise convolutions (N, E * O, ...) of ``x`` (N, E * C, ...) by (E, O, C)."""
    y: Tensor = GroupedPointwise.apply(x.contiguous(), weight)
    return y


def _by_edge(x: Tensor, weight: Tensor) -> Tensor:
    return x.view(x.shape[0], weight.shape[0], weight.shape[2], -1)


def _for_each(weight: Tensor, x: Tensor) -> Tensor:
    return weight.expand(x.shape[0], *weight.shape)
