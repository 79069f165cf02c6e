"""Which batch normalization can become part of the quantized layer before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import fx, nn

from nas.compression.layers import Norm
from nas.compression.quantized import QuantizedLayer
from nas.compression.trace import trace, value_of
from nas.errors import SpaceError
from nas.export.base import UnfitError
from nas.export.integers.codes import FLOAT


def norms_behind(
    net: nn.Module, layers: Mapping[str, QuantizedLayer], input_shape: Sequence[int]
) -> dict[str, str]:
    """The normalization right behind a layer, by names, where nothing else reads its outputs.

    Args:
        net: in eval mode.
        layers: its quantized layers.
        input_shape: of one input, without the batch.

    Raises:
        UnfitError: for a network that cannot be traced.
    """
    try:
        with _without_auxiliary(net):
            graph = trace(net, input_shape, lambda node: None)
    except SpaceError as error:
        raise UnfitError(f"{error}; {FLOAT}") from error
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    found = {}
    for node in graph.nodes:
        if node.op == "call_module" and node.target in layers and len(node.users) == 1:
            (following,) = node.users
            once = following.op == "call_module" and calls[str(following.target)] == 1
            if once and calls[str(node.target)] == 1 and _folds(net, node, following):
                found[str(node.target)] = str(following.target)
    return found


def _folds(net: nn.Module, layer: fx.Node, following: fx.Node) -> bool:
    """Whether ``following`` normalizes the outputs of ``layer`` by fixed statistics."""
    norm = net.get_submodule(str(following.target))
    if not isinstance(norm, Norm) or norm.running_mean is None:
        return False
    linear = isinstance(net.get_submodule(str(layer.target)), nn.Linear)
    return not linear or value_of(layer).dim() == 2  # else another axis is normalized


@contextmanager
def _without_auxiliary(net: nn.Module) -> Iterator[None]:
    """Its auxiliary head is for training and in no file, so that nothing goes there."""
    auxiliary = net._modules.get("auxiliary")
    if auxiliary is not None:
        net._modules["auxiliary"] = None
    try:
        yield
    finally:
        if auxiliary is not None:
            net._modules["auxiliary"] = auxiliary
