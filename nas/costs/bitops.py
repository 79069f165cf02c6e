"""Bit operations: multiply-accumulates times the bits of both of their factors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nas.compression.factors import dense, input_bits, weight_bits
from nas.cost_tree import CostNode, Leaf, tree_of
from nas.costs.base import TreeCost
from nas.costs.count import macs_by_module
from nas.costs.opened import AllOpen


def count_bitops(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Bit operations of one forward of one input (without batch axis) through a built network."""
    total = 0.0
    for module, macs in macs_by_module(net, input_shape).items():
        own = _node(module, macs)
        assert isinstance(own, Leaf)
        total += own.value
    return round(total)


def _node(module: nn.Module, macs: float) -> CostNode:
    """``MACs * bits of weights * bits of inputs``; 32 where a tensor is not quantized."""
    weights, of_weights = weight_bits(module)
    inputs, of_inputs = input_bits(module)
    return dense(module, macs * weights * inputs, (*of_weights, *of_inputs))


class BitOps(TreeCost):
    """Expected bit operations of ``space.network(genotype)``, from ``nas.space.blueprint``.

    As counted in ABS (arXiv 2101.04935, section 4): no biases, normalization or pooling.

    Args:
        net: the blueprint; run once, on the device it is on.
        input_shape: of one input, without batch axis.
    """

    rule = "multiply-accumulates times bits of weights times bits of inputs, fp32 as 32, one input"

    def __init__(self, net: nn.Module, input_shape: Sequence[int]) -> None:
        found = macs_by_module(AllOpen(net), input_shape)
        own = {module: _node(module, macs) for module, macs in found.items()}
        super().__init__("bitops", "bit operations", tree_of(net, own))
