"""From a trained quantized network to one of integers that computes the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nas.compression.layers import Norm
from nas.compression.quantized import (
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedLayer,
    QuantizedLinear,
)
from nas.compression.quantizer import Quantizer
from nas.export.integers.codes import input_codes, weight_codes
from nas.export.integers.layers import IntegerInput, IntegerLayer
from nas.export.integers.norms import norms_behind

_LEAST = 1e-20  # a scale below it is that of a channel without weights


def quantized_layers(net: nn.Module) -> dict[str, QuantizedLayer]:
    """The layers whose weights are quantized, by name."""
    kinds = (QuantizedConv1d, QuantizedConv2d, QuantizedLinear)
    return {
        name: layer
        for name, layer in net.named_modules()
        if isinstance(layer, kinds) and isinstance(layer.weight_quantizer, Quantizer)
    }


@torch.no_grad()
def integer_network(network: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """A copy that stores integers in place of quantized weights and computes the same numbers.

    Batch normalization right behind a quantized layer becomes part of it: the integers stay as they
    are, their scale gets one value for each output, and the statistics a bias.

    Args:
        network: in eval mode, float32, on the CPU; not changed.
        input_shape: of one input, without the batch.

    Raises:
        UnfitError: for a network that cannot be traced, and quantization that is none of integers.
    """
    layers = quantized_layers(network)
    norms = norms_behind(network, layers, input_shape)
    replaced: dict[nn.Module, nn.Module] = {}
    for name, layer in layers.items():
        norm = cast("Norm | None", network.get_submodule(norms[name]) if name in norms else None)
        replaced[layer] = _integer_layer(name, layer, norm)
        if norm is not None:
            replaced[norm] = nn.Identity()
    memo: dict[int, object] = {id(old): new for old, new in replaced.items()}
    return copy.deepcopy(network, memo).eval()


def integer_layers(net: nn.Module) -> dict[str, IntegerLayer]:
    """The layers of integers, by name."""
    return {name: part for name, part in net.named_modules() if isinstance(part, IntegerLayer)}


def _integer_layer(name: str, layer: QuantizedLayer, norm: Norm | None) -> IntegerLayer:
    weights = weight_codes(name, layer.weight_quantizer, layer.weight)
    inputs = input_codes(name, layer.input_quantizer)
    assert weights is not None
    factor, bias = _affine(layer, norm)
    scale = weights.unit * factor.abs()
    lost = scale < _LEAST
    sign = torch.where(lost, 0.0, factor.sign()).view(-1, *[1] * (weights.codes.dim() - 1))
    return IntegerLayer(
        layer,
        nn.Identity() if inputs is None else IntegerInput(inputs),
        (weights.codes * sign).to(torch.int8),
        torch.where(lost, weights.unit, scale).float(),
        None if layer.bias is None and norm is None else bias.float(),
        weights.bits,
    )


def _affine(layer: QuantizedLayer, norm: Norm | None) -> tuple[Tensor, Tensor]:
    """Factor and bias of each output in float64: those of the normalization, or 1 and its own."""
    outputs = layer.weight.shape[0]
    own = torch.zeros(outputs).double() if layer.bias is None else layer.bias.double()
    if norm is None:
        return torch.ones_like(own), own
    state: Mapping[str, Tensor] = norm.state_dict()
    factor = (state["running_var"].double() + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * state["weight"].double()
    shift = state["bias"].double() if norm.affine else 0.0
    return factor, (own - state["running_mean"].double()) * factor + shift
