"""The size of the stored weights: of a built network, and expected over open choices.

What a file of weights holds is counted: 4 bytes for each number in fp32, the statistics of batch
normalization among them (and 8 bytes for their counter). The auxiliary head and the file's own
header are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from nas.cost_tree import tree_of
from nas.costs.base import TreeCost
from nas.costs.opened import auxiliary_of

KB = 1000


def count_bytes(net: nn.Module) -> int:
    """Bytes of the tensors in a network's state dict, its ``auxiliary`` head left out."""
    return sum(_own_bytes(module) for module in set(net.modules()) - auxiliary_of(net))


def _own_bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _own_tensors(module))


def _own_tensors(module: nn.Module) -> Iterator[Tensor]:
    """What a state dict holds of ``module`` itself, without its children."""
    yield from module.parameters(recurse=False)
    for name, buffer in module.named_buffers(recurse=False):
        if name not in module._non_persistent_buffers_set:
            yield buffer


class Size(TreeCost):
    """Expected kilobytes of the stored weights, from ``nas.space.blueprint``."""

    rule = "stored weights and batch-norm statistics in fp32, 1 kB = 1000 bytes"

    def __init__(self, net: nn.Module) -> None:
        counted = set(net.modules()) - auxiliary_of(net)
        own = {module: _own_bytes(module) / KB for module in counted}
        super().__init__("size_kb", "kB", tree_of(net, own))
