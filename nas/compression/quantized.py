"""Convolutions and linear layers whose weights and inputs are quantized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.compression.quantizer import Quantizer

Layer = nn.Conv1d | nn.Conv2d | nn.Linear
SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    *("dilation", "groups", "padding_mode"),
)


def with_quantized(quantizer: nn.Module, x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """``run(quantizer(x))``, of which the backward pass keeps ``x`` and not the quantized tensor.

    Where kernels quantize in one pass, doing it again costs less than memory would: a network in
    quantized numbers then keeps hardly more than one in fp32.
    """
    found: Tensor = quantizer(x)
    if found is x or not isinstance(quantizer, Quantizer) or quantizer.kernels is None:
        return run(found)
    again = quantizer.repeat(x)

    def pack(saved: Tensor) -> Tensor | Callable[[], Tensor]:
        same = saved.data_ptr() == found.data_ptr() and saved.shape == found.shape
        return again if same else saved

    def unpack(kept: Tensor | Callable[[], Tensor]) -> Tensor:
        return kept if isinstance(kept, Tensor) else kept()

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        return run(found)


class QuantizedConv1d(nn.Conv1d):
    """A convolution of (N, C, L) in quantized numbers."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', L')."""
        weight = self.weight_quantizer(self.weight)
        return with_quantized(
            self.input_quantizer, x, lambda q: self._conv_forward(q, weight, self.bias)
        )


class QuantizedConv2d(nn.Conv2d):
    """A convolution of (N, C, H, W) in quantized numbers."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', H', W')."""
        if (found := self._at_once(x)) is not None:
            return found
        weight = self.weight_quantizer(self.weight)
        return with_quantized(
            self.input_quantizer, x, lambda q: self._conv_forward(q, weight, self.bias)
        )

    def _at_once(self, x: Tensor) -> Tensor | None:
        """The same by a kernel that quantizes where it reads; None where there is none for it."""
        inputs, weights = self.input_quantizer, self.weight_quantizer
        if not isinstance(inputs, Quantizer) or not isinstance(weights, Quantizer):
            return None
        kernels = inputs.kernels
        if kernels is None or not (inputs.active and weights.active and kernels.usable()):
            return None
        if not (kernels.serves(x) and kernels.convolves(x, self)):
            return None
        weight = weights.brought(self.weight)
        of_weight = weights.quantization(weight)
        x = inputs.brought(x)
        return kernels.quantized(
            *(x, inputs.quantization(x), weight, of_weight),
            stride=self.stride[0],
            dilation=self.dilation[0],
        )


class QuantizedLinear(nn.Linear):
    """A linear layer in quantized numbers."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, ..., C')."""
        weight = self.weight_quantizer(self.weight)
        return with_quantized(self.input_quantizer, x, lambda q: F.linear(q, weight, self.bias))


QuantizedLayer = QuantizedConv1d | QuantizedConv2d | QuantizedLinear
QUANTIZED = (QuantizedConv1d, QuantizedConv2d, QuantizedLinear)


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


def taken_apart(layer: Layer) -> tuple[Layer, nn.Module, nn.Module]:
    """A plain layer with the very parameters of ``layer``, and the quantizers of weight and input.

    Both are ``nn.Identity`` where the layer is a plain one, which is itself.
    """
    if not isinstance(layer, QUANTIZED):
        return layer, nn.Identity(), nn.Identity()
    bias = layer.bias is not None
    with torch.device("meta"):
        if isinstance(layer, nn.Linear):
            made: Layer = nn.Linear(layer.in_features, layer.out_features, bias)
        else:
            make = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
            made = make(**{name: getattr(layer, name) for name in SETTINGS}, bias=bias)
    made.register_parameter("weight", cast(nn.Parameter, layer.weight))
    made.register_parameter("bias", cast("nn.Parameter | None", layer.bias))
    return made.train(layer.training), layer.weight_quantizer, layer.input_quantizer


def _like(layer: Layer) -> QuantizedLayer:
    bias = layer.bias is not None
    with torch.device("meta"):
        if isinstance(layer, nn.Linear):
            return QuantizedLinear(layer.in_features, layer.out_features, bias)
        make = QuantizedConv1d if isinstance(layer, nn.Conv1d) else QuantizedConv2d
        settings: dict[str, Any] = {name: getattr(layer, name) for name in SETTINGS}
        return make(**settings, bias=bias)
