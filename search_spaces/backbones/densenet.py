"""Densely connected networks for small images, in their plain form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.backbones.common import Classifier, check_at_least, initialized
from search_spaces.ops import conv, named, norm

BLOCKS = 3


class DenseLayer(nn.Module):
    """The input, and beside it ``growth`` channels made of it (1608.06993, equation 2).

    Args:
        c_in: channels of the input.
        growth: channels that are added.
        dims: number of spatial dimensions.
    """

    def __init__(self, c_in: int, growth: int, dims: int = 2) -> None:
        super().__init__()
        self.norm, self.relu = norm(c_in, dims=dims), nn.ReLU()
        self.conv = conv(c_in, growth, 3, dims=dims)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, ...) to (N, c_in + growth, ...)."""
        return torch.cat([x, self.conv(self.relu(self.norm(x)))], 1)


def cifar_densenet(
    data: DataSpec, depth: int = 40, growth: int = 12, channels: int = 16
) -> nn.Module:
    """The DenseNet of 1608.06993 without bottlenecks and compression.

    A 3x3 convolution, three dense blocks with (depth - 4) / 3 layers each, between them batch
    normalization, ReLU, a 1x1 convolution to as many channels and 2x2 average pooling; after the
    last one batch normalization and ReLU.

    Args:
        data: input shape, kind and number of outputs; the kind decides the head.
        depth: convolutions and the linear layer; 3n + 4.
        growth: channels that each layer adds.
        channels: of the first convolution.

    Raises:
        SpaceError: for a depth that has no whole number of layers, and for no channels.
    """
    check_at_least("channels", channels, 1)
    check_at_least("growth", growth, 1)
    layers, rest = divmod(depth - 4, BLOCKS)
    if rest or layers < 1:
        raise SpaceError(
            f"the depth of a DenseNet with {BLOCKS} blocks is {BLOCKS}n + 4, got {depth}; the "
            f"nearest are {BLOCKS * max(layers, 1) + 4} and {BLOCKS * max(layers, 1) + 7}"
        )
    dims, width = data.dims, channels
    pool = nn.AvgPool1d if dims == 1 else nn.AvgPool2d
    parts: dict[str, nn.Module] = {"stem": conv(data.channels, channels, 3, dims=dims)}
    for block in range(1, BLOCKS + 1):
        widths = [width + layer * growth for layer in range(layers)]
        parts[f"block{block}"] = nn.Sequential(*(DenseLayer(c, growth, dims) for c in widths))
        width += layers * growth
        after: dict[str, nn.Module] = {"norm": norm(width, dims=dims), "relu": nn.ReLU()}
        if block < BLOCKS:
            after |= {"conv": conv(width, width, 1, dims=dims), "pool": pool(2, ceil_mode=True)}
        parts[f"after{block}"] = named(**after)
    return initialized(Classifier(named(**parts), width, data))
