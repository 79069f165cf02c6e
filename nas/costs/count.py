"""Parameters and multiply-accumulates: of a built network, and expected over open choices.

MACs are those of convolutions and linear layers for one input; biases, normalization, pooling and
additions count nothing. Parameters are all learnable numbers; the auxiliary head, which inference
never runs, is left out of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from nas.compression.factors import dense, per_output
from nas.cost_tree import CostNode, Leaf, add, tree_of
from nas.costs.base import TreeCost
from nas.costs.opened import AllOpen, auxiliary_of, run_once

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
LAYERS = (*_CONVOLUTIONS, nn.Linear)


def count_parameters(net: nn.Module) -> int:
    """Learnable numbers of a network, its ``auxiliary`` head left out."""
    skipped = {parameter for module in auxiliary_of(net) for parameter in module.parameters()}
    return sum(p.numel() for p in net.parameters() if p not in skipped)


def count_macs(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one forward of one input of ``input_shape`` (without batch axis)."""
    return int(sum(macs_by_module(net, input_shape).values()))


def macs_by_module(net: nn.Module, input_shape: Sequence[int]) -> dict[nn.Module, float]:
    """Multiply-accumulates of each convolution and linear layer, by one forward in eval mode."""
    counts: dict[nn.Module, float] = {}

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[module] = counts.get(module, 0.0) + _macs(module, output)

    run_once(net, input_shape, hook, LAYERS)
    return counts


def _macs(module: nn.Module, output: Tensor) -> float:
    positions = output.numel() / output.shape[0]
    if isinstance(module, _CONVOLUTIONS):
        return positions * module.in_channels // module.groups * math.prod(module.kernel_size)
    assert isinstance(module, nn.Linear)
    return positions * module.in_features


class Parameters(TreeCost):
    """Expected parameters of ``space.network(genotype)``, from ``nas.space.blueprint``."""

    rule = "learnable numbers, without auxiliary head"

    def __init__(self, net: nn.Module) -> None:
        counted = set(net.modules()) - auxiliary_of(net)
        own = {module: _parameters(module) for module in counted}
        super().__init__("params", "parameters", tree_of(net, own))


class Macs(TreeCost):
    """Expected multiply-accumulates of ``space.network(genotype)``, from ``nas.space.blueprint``.

    Args:
        net: the blueprint; run once, on the device it is on (``meta`` needs no memory).
        input_shape: of one input, without batch axis.
    """

    rule = "multiply-accumulates of convolutions and linear layers for one input"

    def __init__(self, net: nn.Module, input_shape: Sequence[int]) -> None:
        found = macs_by_module(AllOpen(net), input_shape)
        own = {module: dense(module, value) for module, value in found.items()}
        super().__init__("macs", "MAC", tree_of(net, own))


def _parameters(module: nn.Module) -> CostNode:
    """What a module itself has: weights of layers by both of its sides, all else by its outputs."""
    found = dict(module.named_parameters(recurse=False))
    weight = found.pop("weight", None) if isinstance(module, LAYERS) else None
    scalars = sum(1 for p in found.values() if p.dim() == 0)
    rows = sum(p.numel() for p in found.values() if p.dim() > 0)
    rest = add([Leaf(float(scalars)), per_output(module, float(rows))])
    return rest if weight is None else add([dense(module, float(weight.numel())), rest])
