"""What a layer's cost is multiplied by: the shares of channels kept, and its bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from nas.compression.quantizer import Quantizer
from nas.cost_tree import CostNode, Factor, add, scaled

FULL_BITS = 32
_ATTRIBUTE = "kept_channels"


@dataclass(frozen=True)
class Kept:
    """Which share of a layer's channels is kept, by the candidates of decisions.

    Attributes:
        inputs: parts of the input's channels: the share of all that the part is, and its factor.
        outputs: of the output's channels, likewise; empty where all are kept.
        depthwise: whether inputs and outputs are the same channels.
    """

    inputs: tuple[tuple[float, Factor | None], ...] = ()
    outputs: Factor | None = None
    depthwise: bool = False


def keep_channels(module: nn.Module, kept: Kept) -> None:
    """Note at a layer which of its channels decisions keep."""
    setattr(module, _ATTRIBUTE, kept)


def kept_of(module: nn.Module) -> Kept:
    """What was noted; all channels where nothing was."""
    return cast(Kept, getattr(module, _ATTRIBUTE, Kept()))


def dense(module: nn.Module, value: float, bits: tuple[Factor, ...] = ()) -> CostNode:
    """A cost proportional to input and output channels, such as MACs or weights."""
    kept = kept_of(module)
    outputs = (*bits, *((kept.outputs,) if kept.outputs else ()))
    if kept.depthwise or not kept.inputs:
        return scaled(value, outputs)
    return add(
        [scaled(value * share, (*outputs, *((f,) if f else ()))) for share, f in kept.inputs]
    )


def per_output(module: nn.Module, value: float) -> CostNode:
    """A cost proportional to output channels, such as biases and batch normalization."""
    outputs = kept_of(module).outputs
    return scaled(value, (outputs,) if outputs else ())


def weight_bits(module: nn.Module) -> tuple[float, tuple[Factor, ...]]:
    """Bits of a layer's weights: a number, times the factor of a decision where there is one."""
    return _bits(getattr(module, "weight_quantizer", None))


def input_bits(module: nn.Module) -> tuple[float, tuple[Factor, ...]]:
    """Bits of a layer's inputs, likewise."""
    return _bits(getattr(module, "input_quantizer", None))


def _bits(quantizer: nn.Module | None) -> tuple[float, tuple[Factor, ...]]:
    if not isinstance(quantizer, Quantizer):
        return float(FULL_BITS), ()
    if quantizer.slot is None:
        return float(quantizer.bits[0]), ()
    name = quantizer.slot.decision.name
    return 1.0, (Factor(name, tuple(map(float, quantizer.bits))),)
