"""How channels run through a traced network, layer by layer."""

from __future__ import annotations

import numpy as np
from torch import fx, nn

from nas.compression.functions import RULES, channelwise, reshaped, shuffled
from nas.compression.layers import CHANNELWISE, Convolution, Norm, is_depthwise
from nas.compression.layout import Channels, Flow, Layout
from nas.compression.slots import Ids, Slots
from nas.compression.trace import first, function_of, named, value_of


def slots_of(net: nn.Module, graph: fx.Graph) -> Slots:
    """The channels of all layers that ``graph`` calls, with what ties and fixes them.

    Args:
        net: whose layers they are.
        graph: as ``trace`` gives it, with ``check``.
    """
    flow = Flow()
    for node in graph.nodes:
        flow.layouts[node] = _run(flow, node, net)
    return flow.slots


def _run(flow: Flow, node: fx.Node, net: nn.Module) -> Layout:
    if node.op == "placeholder":
        return Channels(1, flow.slots.foreign(value_of(node).shape[1], "network input"))
    if node.op == "output":
        for each in node.all_input_nodes:
            flow.fix(flow.of(each), "network output")
        return None
    if node.op == "call_module":
        return _layer(flow, node, net.get_submodule(str(node.target)))
    return RULES[function_of(node)](flow, node)


def _layer(flow: Flow, node: fx.Node, layer: nn.Module) -> Layout:
    name = str(node.target)
    before = flow.of(first(node))
    if isinstance(layer, Convolution):
        return _convolution(flow, node, layer, name)
    if isinstance(layer, nn.Linear):
        last = value_of(node).dim() - 1
        _read(flow, before, last, flow.slots.axis(name, "in", layer.in_features), named(node))
        return Channels(last, flow.slots.axis(name, "out", layer.out_features))
    if isinstance(layer, Norm):
        return _one_by_one(flow, node, layer.num_features)
    if isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
        return _one_by_one(flow, node, layer.num_parameters)
    if isinstance(layer, (*CHANNELWISE, nn.PReLU)):
        return channelwise(flow, node)
    return shuffled(flow, node) if not isinstance(layer, nn.Flatten) else reshaped(flow, node)


def _convolution(flow: Flow, node: fx.Node, layer: Convolution, name: str) -> Layout:
    before = flow.of(first(node))
    if is_depthwise(layer):
        copies = layer.out_channels // layer.in_channels
        if copies == 1:
            return _one_by_one(flow, node, layer.in_channels)
        read = flow.slots.axis(name, "in", layer.in_channels)
        made = flow.slots.axis(name, "out", layer.out_channels)
        flow.slots.tie(np.repeat(read, copies), made)
    else:
        read = flow.slots.axis(name, "in", layer.in_channels)
        made = flow.slots.axis(name, "out", layer.out_channels)
        if layer.groups > 1:
            reason = f"grouped convolution {name!r} ({layer.groups} groups)"
            flow.slots.fix(read, reason)
            flow.slots.fix(made, reason)
    _read(flow, before, 1, read, named(node))
    return Channels(1, made)


def _one_by_one(flow: Flow, node: fx.Node, width: int) -> Layout:
    ids = flow.slots.axis(str(node.target), "both", width)
    _read(flow, flow.of(first(node)), 1, ids, named(node))
    return Channels(1, ids)


def _read(flow: Flow, layout: Layout, axis: int, ids: Ids, what: str) -> None:
    """A layer reads its ``ids`` along an axis of a value."""
    if isinstance(layout, Channels) and layout.axis == axis:
        flow.slots.tie(layout.ids, ids)
    else:
        reason = f"{what} reads an axis that holds no channels"
        flow.slots.fix(ids, flow.fix(layout, reason).reason)
