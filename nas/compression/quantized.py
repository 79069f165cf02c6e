"""Convolutions and linear layers whose weights and inputs are quantized."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = nn.Conv1d | nn.Conv2d | nn.Linear
SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    *("dilation", "groups", "padding_mode"),
)


class QuantizedConv1d(nn.Conv1d):
    """A convolution of (N, C, L) in quantized numbers."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', L')."""
        x, weight = self.input_quantizer(x), self.weight_quantizer(self.weight)
        return cast(Tensor, self._conv_forward(x, weight, self.bias))


class QuantizedConv2d(nn.Conv2d):
    """A convolution of (N, C, H, W) in quantized numbers."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', H', W')."""
        x, weight = self.input_quantizer(x), self.weight_quantizer(self.weight)
        return cast(Tensor, self._conv_forward(x, weight, self.bias))


class QuantizedLinear(nn.Linear):
    """A linear layer in quantized numbers."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, ..., C')."""
        return F.linear(self.input_quantizer(x), self.weight_quantizer(self.weight), self.bias)


QuantizedLayer = QuantizedConv1d | QuantizedConv2d | QuantizedLinear


def quantized_layer(layer: Layer, weights: nn.Module, inputs: nn.Module) -> QuantizedLayer:
    """The layer in quantized numbers, with the very parameters of ``layer``.

    Args:
        layer: a convolution or linear layer of PyTorch's own class.
        weights: quantizes its weight; ``nn.Identity`` leaves it as it is.
        inputs: quantizes its input, likewise.
    """
    made = _like(layer)
    made.register_parameter("weight", cast(nn.Parameter, layer.weight))
    made.register_parameter("bias", cast("nn.Parameter | None", layer.bias))
    made.weight_quantizer = weights.to(layer.weight.device)
    made.input_quantizer = inputs.to(layer.weight.device)
    return made.train(layer.training)


def _like(layer: Layer) -> QuantizedLayer:
    bias = layer.bias is not None
    with torch.device("meta"):
        if isinstance(layer, nn.Linear):
            return QuantizedLinear(layer.in_features, layer.out_features, bias)
        make = QuantizedConv1d if isinstance(layer, nn.Conv1d) else QuantizedConv2d
        settings: dict[str, Any] = {name: getattr(layer, name) for name in SETTINGS}
        return make(**settings, bias=bias)
