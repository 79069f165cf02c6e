"""The layers whose widths are decided on, as numbers that an agent can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nas.compression.gates import ChannelGates
from nas.compression.layers import is_depthwise
from nas.costs.opened import AllOpen, run_once

_KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class WidthLayer:
    """The layer that makes the channels of a width decision, with all of them kept.

    Attributes:
        kind: 0 a convolution, 1 a depthwise one, 2 a linear layer.
        outputs, inputs: channels made and read.
        height, width: of the maps that it makes; 1 where there are none.
        stride: along the last axis.
        kernel: positions that a filter covers along the last axis.
    """

    kind: int
    outputs: int
    inputs: int
    height: int
    width: int
    stride: int
    kernel: int


def width_layers(net: nn.Module, input_shape: Sequence[int]) -> dict[str, WidthLayer]:
    """By width decision, in the order of the network's gates, the layer that makes its channels.

    Args:
        net: the blueprint; run once, on the device it is on.
        input_shape: of one input, without batch axis.
    """
    made: dict[str, nn.Module] = {}
    for module in net.modules():
        if isinstance(module, ChannelGates):
            for name, layer in module.made_by.items():
                made.setdefault(name, layer)
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        shapes[module] = tuple(output.shape[2:])

    run_once(AllOpen(net), input_shape, hook, _KINDS)
    return {name: _described(layer, shapes.get(layer, ())) for name, layer in made.items()}


def _described(layer: nn.Module, shape: tuple[int, ...]) -> WidthLayer:
    if isinstance(layer, nn.Linear):
        return WidthLayer(2, layer.out_features, layer.in_features, 1, 1, 1, 1)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return WidthLayer(
        int(is_depthwise(layer)),
        layer.out_channels,
        layer.in_channels,
        math.prod(shape[:-1]),
        shape[-1] if shape else 1,
        layer.stride[-1],
        layer.kernel_size[-1],
    )
