"""Depthwise convolution whose gradients avoid the slow paths of the CPU library."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nas.kernels.portable.channels import channel_sums

_CONV = {1: F.conv1d, 2: F.conv2d}
ROWS_UP_TO = 16  # width of planes; products of whole rows compute more than is wanted


class Depthwise(torch.autograd.Function):
    """One filter per channel; ``padding`` keeps the size at stride 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        """``x`` (N, C, ...), ``weight`` (C, 1, k, ...): (N, C, ... / stride)."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        return _depthwise(x, weight, stride, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Gradients of ``x`` and ``weight``, those that are needed."""
        x, weight = ctx.saved_tensors
        stride, dilation = ctx.stride, ctx.dilation
        slow = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        gx = gw = None
        if slow[0] and stride == 1:  # a convolution with the flipped kernel
            axes = tuple(range(2, weight.dim()))
            gx, slow[0] = _depthwise(g, weight.flip(axes), 1, dilation), False
        if slow[1] and stride == 1 and (dilation > 1 or weight.shape[-1] > 3):
            by = _by_rows if x.dim() == 4 and x.shape[-1] <= ROWS_UP_TO else _by_taps
            gw, slow[1] = by(x, g, weight, dilation), False
        if slow[0] or slow[1]:
            dims = weight.dim() - 2
            found = torch.ops.aten.convolution_backward(
                g,
                x,
                weight,
                None,
                [stride] * dims,
                [_padding(weight, dilation)] * dims,
                [dilation] * dims,
                False,
                [0] * dims,
                x.shape[1],
                slow,
            )
            gx, gw = found[0] if slow[0] else gx, found[1] if slow[1] else gw
        return gx, gw, None, None


def depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Depthwise convolution (N, C, ...) to (N, C, ... / stride); see ``Depthwise``."""
    y: Tensor = Depthwise.apply(x, weight, stride, dilation)
    return y


def _padding(weight: Tensor, dilation: int) -> int:
    return dilation * (weight.shape[-1] - 1) // 2


def _depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    conv, padding = _CONV[x.dim() - 2], _padding(weight, dilation)
    return conv(x, weight, None, stride, padding, dilation, x.shape[1])


def _by_taps(x: Tensor, g: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """The gradient of the kernel: for each tap the product of the shifted input with ``g``."""
    dims, kernel, padding = weight.dim() - 2, weight.shape[-1], _padding(weight, dilation)
    padded = F.pad(x, [padding] * (2 * dims))
    taps = []
    for tap in product(range(kernel), repeat=dims):
        shifted = padded
        for axis, place in enumerate(tap):
            shifted = shifted.narrow(axis + 2, place * dilation, g.shape[axis + 2])
        taps.append(channel_sums(shifted * g))
    return torch.stack(taps, 1).view_as(weight)


def _by_rows(x: Tensor, g: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """The same by products of all rows of ``g`` with those of ``x`` that a row of taps reads.

    The diagonals of a product hold the taps. Rows of zeros keep the images apart.
    """
    (n, c, height, width), kernel = x.shape, weight.shape[-1]
    padding, taps = _padding(weight, dilation), []
    rows = n * (height + 2 * padding)
    padded = F.pad(x, [padding] * 4).transpose(0, 1).reshape(c, rows, -1)
    gradient = F.pad(g, [0, 0, 0, 2 * padding]).transpose(0, 1).reshape(c, rows, width)
    used = rows - 2 * padding
    gradient = gradient[:, :used].transpose(1, 2)
    for row in range(kernel):
        start = row * dilation
        product = torch.bmm(gradient, padded[:, start : start + used])  # (C, width, padded width)
        step = product.stride(1) + 1
        diagonals = product.as_strided((c, width, kernel), (product.stride(0), step, dilation))
        taps.append(diagonals.sum(1))
    return torch.stack(taps, 1).view_as(weight)
