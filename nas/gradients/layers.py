"""Layers with weights that read inputs, seen as blocks of matrices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from torch import Tensor, nn

from nas.errors import ConfigError

Convolution = nn.Conv1d | nn.Conv2d


@dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer.

    Attributes:
        name: in the network.
        module: whose weight is (out, in / groups, k, ...), or (out, in).
        weight: the module's own parameter, also while it is lent another.
        blocks: of the weight that read different channels: the groups of a convolution.
        size: D, how many inputs a block reads: ``in / groups * k * ...``.
    """

    name: str
    module: nn.Module
    weight: Tensor
    blocks: int
    size: int

    def matrices(self, values: Tensor) -> Tensor:
        """Values in the shape of the weight as (blocks, out / blocks, D)."""
        return values.reshape(self.blocks, -1, self.size)


def layers_of(network: nn.Module) -> list[Layer]:
    """Every convolution and linear layer of a network.

    Raises:
        ConfigError: for a convolution that pads with anything but zeros.
    """
    found = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            found.append(Layer(name, module, module.weight, 1, module.in_features))
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            if module.padding_mode != "zeros":
                raise ConfigError(
                    f"{name} pads with {module.padding_mode!r}; inputs of convolutions are "
                    "observed where they pad with zeros alone: use padding_mode='zeros', or a "
                    "strategy without transforms that observe inputs"
                )
            size = module.in_channels // module.groups * prod(module.kernel_size)
            found.append(Layer(name, module, module.weight, module.groups, size))
    return found


def before_padding(conv: Convolution) -> tuple[int, ...]:
    """Zeros in front of the first position along every axis."""
    if not isinstance(conv.padding, str):
        return tuple(conv.padding)
    if conv.padding == "valid":
        return (0,) * len(conv.kernel_size)
    pairs = zip(conv.dilation, conv.kernel_size, strict=True)
    return tuple(dilation * (kernel - 1) // 2 for dilation, kernel in pairs)


def after_padding(conv: Convolution) -> tuple[int, ...]:
    """Zeros behind the last position along every axis."""
    before = before_padding(conv)
    if conv.padding != "same":
        return before
    places = zip(conv.dilation, conv.kernel_size, before, strict=True)
    return tuple(dilation * (kernel - 1) - front for dilation, kernel, front in places)


def taps(conv: Convolution) -> list[tuple[int, ...]]:
    """Offsets of a kernel's values along every axis, in the order in which they lie in memory."""
    ranges = (
        range(0, kernel * dilation, dilation)
        for kernel, dilation in zip(conv.kernel_size, conv.dilation, strict=True)
    )
    return list(product(*ranges))
