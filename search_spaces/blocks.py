"""Blocks of mobile networks, each a whole layer of a chain; for 1-D and 2-D inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.errors import SpaceError
from search_spaces.ops import conv, named, norm


def conv_norm(
    c_in: int,
    c_out: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    relu: bool = True,
    dims: int = 2,
) -> nn.Sequential:
    """Convolution, batch normalization and, unless told otherwise, ReLU."""
    parts: dict[str, nn.Module] = {
        "conv": conv(c_in, c_out, kernel, stride, groups=groups, dims=dims),
        "norm": norm(c_out, dims=dims),
    }
    return named(**parts, **({"relu": nn.ReLU()} if relu else {}))


class InvertedResidual(nn.Module):
    """Widen, filter depthwise, narrow without ReLU (1801.04381); plus the input where it fits.

    Args:
        c_in: channels of the input.
        c_out: channels of the output.
        kernel: of the depthwise convolution; odd.
        expansion: channels inside per channel of the input.
        stride: of the depthwise convolution.
        dims: number of spatial dimensions.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int = 1, dims: int = 2
    ) -> None:
        super().__init__()
        inner = expansion * c_in
        self.widen = conv_norm(c_in, inner, dims=dims)
        self.depthwise = conv_norm(inner, inner, kernel, stride, groups=inner, dims=dims)
        self.narrow = conv_norm(inner, c_out, relu=False, dims=dims)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, ...) to (N, c_out, ... / stride)."""
        y: Tensor = self.narrow(self.depthwise(self.widen(x)))
        return x + y if self.residual else y


class ShuffleUnit(nn.Module):
    """The unit of ShuffleNet V2 (1807.11164): two branches side by side, channels interleaved.

    Where neither size nor channels change, one half of the channels passes by; else both branches
    read all of them, and the first is a depthwise and a pointwise convolution.

    Args:
        c_in: channels of the input.
        c_out: channels of the output; even, half of them from each branch.
        kernel: of the depthwise convolutions; odd.
        expansion: channels inside the second branch per channel that it gives.
        stride: of the depthwise convolutions.
        dims: number of spatial dimensions.

    Raises:
        SpaceError: if ``c_out`` is odd.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int = 1, dims: int = 2
    ) -> None:
        super().__init__()
        if c_out % 2:
            raise SpaceError(f"a shuffle unit needs an even number of channels, got {c_out}")
        half = c_out // 2
        inner = expansion * half
        self.split = stride == 1 and c_in == c_out
        read = half if self.split else c_in
        self.shortcut: nn.Module = nn.Identity()
        if not self.split:
            self.shortcut = named(
                depthwise=conv_norm(c_in, c_in, kernel, stride, groups=c_in, relu=False, dims=dims),
                pointwise=conv_norm(c_in, half, dims=dims),
            )
        self.branch = named(
            widen=conv_norm(read, inner, dims=dims),
            depthwise=conv_norm(inner, inner, kernel, stride, groups=inner, relu=False, dims=dims),
            narrow=conv_norm(inner, half, dims=dims),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, ...) to (N, c_out, ... / stride); output 2i is of the first branch."""
        left, right = x.chunk(2, 1) if self.split else (x, x)
        both = torch.stack([self.shortcut(left), self.branch(right)], 2)
        return both.flatten(1, 2)


def pass_on(c_in: int, c_out: int, stride: int = 1, dims: int = 2) -> nn.Module:
    """Identity, or a pointwise convolution with batch normalization where shapes change."""
    if stride == 1 and c_in == c_out:
        return nn.Identity()
    return conv_norm(c_in, c_out, 1, stride, relu=False, dims=dims)
