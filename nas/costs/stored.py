"""The size of the stored weights: of a built network, and expected over open choices.

What a file of weights holds is counted: 4 bytes for each number in fp32, the statistics of batch
normalization among them (and 8 bytes for their counter); a quantized layer's weights at their bits.
The auxiliary head and the file's own header are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor, nn

from nas.compression.factors import FULL_BITS, dense, per_output, weight_bits
from nas.cost_tree import CostNode, Leaf, add, times, tree_of
from nas.costs.base import TreeCost
from nas.costs.count import LAYERS
from nas.costs.opened import auxiliary_of

KB = 1000


def count_bytes(net: nn.Module) -> int:
    """Bytes of a network's stored weights, its ``auxiliary`` head left out."""
    counted = set(net.modules()) - auxiliary_of(net)
    return math.ceil(sum(_own_bytes(module) for module in counted))


def _own_bytes(module: nn.Module) -> float:
    """Of a module itself, of which no decision is open."""
    own = _node(module)
    assert isinstance(own, Leaf)
    return own.value


def _node(module: nn.Module) -> CostNode:
    """Bytes of a module itself: weights of layers by sides and bits, all else by its outputs."""
    found = dict(_own_tensors(module))
    weight = found.pop("weight", None) if isinstance(module, LAYERS) else None
    scalars = sum(t.element_size() for t in found.values() if t.dim() == 0)
    rows = sum(t.numel() * t.element_size() for t in found.values() if t.dim() > 0)
    rest = [Leaf(float(scalars)), per_output(module, float(rows))]
    if weight is None:
        return add(rest)
    bits, factors = weight_bits(module)
    full = weight.numel() * weight.element_size()
    return add([dense(module, full * bits / FULL_BITS, factors), *rest])


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What a state dict holds of ``module`` itself, without its children."""
    yield from module.named_parameters(recurse=False)
    for name, buffer in module.named_buffers(recurse=False):
        if name not in module._non_persistent_buffers_set:
            yield name, buffer


class Size(TreeCost):
    """Expected kilobytes of the stored weights, from ``nas.space.blueprint``."""

    rule = (
        "stored weights and batch-norm statistics in fp32, weights of quantized layers at their "
        "bits, 1 kB = 1000 bytes"
    )

    def __init__(self, net: nn.Module) -> None:
        counted = set(net.modules()) - auxiliary_of(net)
        own = {module: times(_node(module), 1 / KB) for module in counted}
        super().__init__("size_kb", "kB", tree_of(net, own))
