"""What a layer's cost is multiplied by: the shares of channels kept, and its bits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import cast

from torch import nn

from nas.compression.quantizer import Quantizer
from nas.cost_tree import CostNode, Factor, add, scaled

FULL_BITS = 32
_ATTRIBUTE = "kept_channels"


Shares = tuple[tuple[float, Factor | None], ...]
"""Parts of a layer's channels: the share of all that each is, and what is kept of it."""

ALL: Shares = ((1.0, None),)


@dataclass(frozen=True)
class Kept:
    """Which share of a layer's channels is kept, by the candidates of decisions.

    Attributes:
        inputs: of the channels that it reads; empty where all are kept, and for a depthwise
            convolution, whose inputs are its outputs.
        outputs: of the channels that it makes; empty where all are kept.
    """

    inputs: Shares = ()
    outputs: Shares = ()


def keep_channels(module: nn.Module, kept: Kept) -> None:
    """Note at a layer which of its channels decisions keep."""
    setattr(module, _ATTRIBUTE, kept)


def forget_kept(net: nn.Module) -> None:
    """Take all such notes out of a network whose channels were cut."""
    for module in net.modules():
        vars(module).pop(_ATTRIBUTE, None)


def kept_of(module: nn.Module) -> Kept:
    """What was noted; all channels where nothing was."""
    return cast(Kept, getattr(module, _ATTRIBUTE, Kept()))


def dense(module: nn.Module, value: float, bits: tuple[Factor, ...] = ()) -> CostNode:
    """A cost proportional to input and output channels, such as MACs or weights."""
    kept = kept_of(module)
    return add(
        [
            scaled(value * into * out, (*bits, *_there(read), *_there(made)))
            for (into, read), (out, made) in product(kept.inputs or ALL, kept.outputs or ALL)
        ]
    )


def per_output(module: nn.Module, value: float) -> CostNode:
    """A cost proportional to output channels, such as biases and batch normalization."""
    kept = kept_of(module).outputs or ALL
    return add([scaled(value * share, _there(made)) for share, made in kept])


def _there(factor: Factor | None) -> tuple[Factor, ...]:
    return () if factor is None else (factor,)


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
