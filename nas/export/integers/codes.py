"""Quantized tensors as whole numbers: the codes of weights, and how inputs are coded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.compression.grid import MIDTREAD, UNSIGNED, Grid
from nas.compression.quantizer import Quantizer
from nas.export.base import UnfitError

MOST_BITS = 8
FLOAT = "or write it in fp32 by formats=[onnx_float]"


@dataclass(frozen=True)
class WeightCodes:
    """Weights as ``unit * codes``.

    Attributes:
        codes: whole numbers in float64, shape as of the weights.
        unit: above 0.
        bits: of the grid; codes reach from ``-(2^(bits-1) - 1)`` to ``2^(bits-1) - 1``.
    """

    codes: Tensor
    unit: float
    bits: int


@dataclass(frozen=True)
class InputCodes:
    """An input as ``scale * (code - zero)``, with codes from 0 to ``most``."""

    scale: float
    zero: int
    most: int


@torch.no_grad()
def weight_codes(name: str, quantizer: nn.Module, weight: Tensor) -> WeightCodes | None:
    """The codes of a layer's quantized weights; None where they are not quantized.

    Args:
        name: of the layer, for messages.
        quantizer: of its weights; what it gives in eval mode is taken as it is.
        weight: before quantization.

    Raises:
        UnfitError: for a grid without zero, and bits that are not fixed or above 8.
    """
    if not isinstance(quantizer, Quantizer):
        return None
    bits = _fixed_bits(name, "weights", quantizer)
    _check_grid(name, "weights", quantizer.grid, (MIDTREAD,))
    unit = float(quantizer.scale) * quantizer.grid.step(bits)
    codes = torch.round(quantizer(weight).double() / unit)
    return WeightCodes(codes, unit, bits)


def input_codes(name: str, quantizer: nn.Module) -> InputCodes | None:
    """How a layer's inputs are coded in 8 bits; None where they are not quantized.

    Fewer bits keep their own step and reach less far: 4 bits of an unsigned grid are the codes 0 to
    15, 4 bits of a midtread grid 0 to 14 with the zero at 7. Raises UnfitError as ``weight_codes``.
    """
    if not isinstance(quantizer, Quantizer):
        return None
    bits = _fixed_bits(name, "inputs", quantizer)
    grid = quantizer.grid
    _check_grid(name, "inputs", grid, (MIDTREAD, UNSIGNED))
    scale = float(quantizer.scale) * grid.step(bits)
    if grid is UNSIGNED:
        return InputCodes(scale, 0, (1 << bits) - 1)
    return InputCodes(scale, (1 << (bits - 1)) - 1, (1 << bits) - 2)


def _fixed_bits(name: str, what: str, quantizer: Quantizer) -> int:
    if quantizer.slot is not None:
        raise UnfitError(
            f"the bits of {what} of {name!r} are still open: derive a genotype and retrain its "
            "network first"
        )
    if quantizer.normalized and what == "inputs":
        raise UnfitError(
            f"{what} of {name!r} are normalized before they are quantized, which integers cannot "
            f"do: leave normalized out for inputs, {FLOAT}"
        )
    (bits,) = quantizer.bits
    if bits > MOST_BITS:
        raise UnfitError(
            f"{what} of {name!r} have {bits} bits, integers at most {MOST_BITS}: set fewer bits in "
            f"compression, {FLOAT}"
        )
    return bits


def _check_grid(name: str, what: str, grid: Grid, allowed: tuple[Grid, ...]) -> None:
    if grid not in allowed:
        raise UnfitError(
            f"{what} of {name!r} lie on the grid {grid.name}, which has no zero and so is none of "
            f"integers: retrain with compression.grid=midtread, {FLOAT}"
        )
