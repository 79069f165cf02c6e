"""The same model of ONNX in fp32, and cut where numbers are coded: what a file is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.export.integers.graph import Proto, copied, replace

_GIVEN = "_given"


@dataclass(frozen=True)
class Coded:
    """Where a model brings an input on its codes.

    Attributes:
        layer: whose input it is, by name.
        codes: the value in uint8.
        nodes: that make it.
    """

    layer: str
    codes: str
    nodes: tuple[Proto, ...]


def coded_inputs(model: Proto) -> list[Coded]:
    """Every place of a model where the input of a layer is coded, in order."""
    clipping = {node.input[0]: node for node in model.graph.node if node.op_type == "Min"}
    found = []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            layer = node.input[1].removesuffix("inputs.scale").removesuffix(".")
            clipped = clipping.get(node.output[0])
            nodes = (node,) if clipped is None else (node, clipped)
            found.append(Coded(layer, nodes[-1].output[0], nodes))
    return found


def in_fp32(model: Proto) -> Proto:
    """The network without any quantization, its weights in fp32; a copy.

    Args:
        model: as traced, before its weights are placed.
    """
    from onnx import numpy_helper  # optional, and only needed here

    made = copied(model)
    graph = made.graph
    constants = {each.name: each for each in graph.initializer}
    sources = {each.codes: each.nodes[0].input[0] for each in coded_inputs(made)}
    gone = {node.output[0] for each in coded_inputs(made) for node in each.nodes}
    renamed = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            gone.add(node.output[0])
            if node.input[0] in sources:
                renamed[node.output[0]] = sources[node.input[0]]
            else:
                codes, scale = (numpy_helper.to_array(constants.pop(name)) for name in node.input)
                weights = codes * scale.reshape(-1, *[1] * (codes.ndim - 1))
                values = numpy_helper.from_array(weights.astype(np.float32), node.output[0])
                constants[node.output[0]] = values
    nodes = [node for node in graph.node if not gone & set(node.output)]
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    read = {name for node in nodes for name in node.input}
    replace(graph.node, nodes)
    replace(graph.initializer, [each for name, each in constants.items() if name in read])
    return made


def taught(model: Proto, shapes: Mapping[str, Sequence[Sequence[int]]]) -> Proto:
    """A copy that reads the codes of every layer's input instead of making them; both are seen.

    Its further inputs are ``CODES_given``, its further outputs ``CODES``, in the order of
    ``coded_inputs``: so that layers are compared one by one and no difference grows from one to the
    next.

    Args:
        model: the delivered one.
        shapes: of the codes of each layer, call by call.
    """
    from onnx import TensorProto, helper

    made = copied(model)
    calls: dict[str, int] = {}
    for each in coded_inputs(made):
        number = calls[each.layer] = calls.get(each.layer, -1) + 1
        sizes: list[str | int] = [f"{each.codes}_rows", *shapes[each.layer][number][1:]]
        for node in made.graph.node:
            names = [each.codes + _GIVEN if n == each.codes else n for n in node.input]
            node.input[:] = names
        for name, container in ((each.codes + _GIVEN, "input"), (each.codes, "output")):
            info = helper.make_tensor_value_info(name, TensorProto.UINT8, sizes)
            getattr(made.graph, container).append(info)
    return made


def given(model: Proto, codes: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """What the model of ``taught`` reads, by name, of the codes of each layer, call by call."""
    waiting = {layer: iter(calls) for layer, calls in codes.items()}
    return {each.codes + _GIVEN: next(waiting[each.layer]) for each in coded_inputs(model)}
