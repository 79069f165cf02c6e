"""The weights of integer layers in a model of ONNX, in the form that each is computed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.export.integers.codes import InputCodes
from nas.export.integers.form import Form, form_of
from nas.export.integers.graph import Graph, Proto
from nas.export.integers.layers import IntegerLayer
from nas.export.integers.packing import INT2_FORMAT, stored_bits

_FINE = 0.02  # of a step of the next codes: to what a bias is rounded, where it can be
_TALLEST = 2.0**30  # of a bias in units of its accumulator, which has 32 bits
_MIDDLE = 128
Numbers = NDArray[Any]


def place_weights(
    model: Proto,
    layers: Mapping[str, IntegerLayer],
    computed: Mapping[str, float],
) -> None:
    """Give the weights of every layer the form that it is computed in, in place.

    Stored are int8, or packed int4 and int2. All operators on them have constant inputs, so that a
    runtime computes them once, when it loads the file.

    Args:
        model: as the integer network is traced.
        layers: of that network.
        computed: the layers to be computed in integers, with the step of what their outputs become,
            infinite where these stay in fp32; the others are computed in fp32.
    """
    graph = Graph(model)
    for name, layer in layers.items():
        place = _Place(graph, f"{name}." if name else "", layer)
        if name in computed:
            place.in_integers(computed[name])
        else:
            place.in_fp32()
    graph.finish()
    if any(stored_bits(layer.bits) == 2 for layer in layers.values()):
        model.ir_version = max(model.ir_version, INT2_FORMAT)


class _Place:
    """One layer in a graph; its constants begin with ``prefix``."""

    def __init__(self, graph: Graph, prefix: str, layer: IntegerLayer) -> None:
        self.graph, self.prefix = graph, prefix
        self.codes = layer.codes.numpy()
        self.scale = layer.scale.double().numpy()
        self.bias = None if layer.bias is None else layer.bias.double().numpy()
        self.inputs, self.bits = layer.input_codes, stored_bits(layer.bits)
        (self.reader,) = graph.readers[f"{prefix}codes"]  # a DequantizeLinear

    def in_fp32(self) -> None:
        """Weights that become fp32 when the file is loaded, and plain numbers for codes of inputs.

        No DequantizeLinear is left: behind one a runtime would quantize the weights in its own way.
        """
        graph, name, scale = self.graph, self._name, self.scale
        if self.inputs is not None:
            scale = scale * self.inputs.scale
            for node in self._decoders():
                self._decode(node, self.inputs.zero)
        codes = self._stored(self.codes)
        source = graph.insert(self.reader, graph.cast(codes, name("floats"), "FLOAT"))
        del self.reader.attribute[:]
        put = graph.put(name("scale"), self._column(scale).astype(np.float32))
        self.reader.op_type, self.reader.input[:] = "Mul", [source, put]

    def _decode(self, node: Proto, zero: int) -> None:
        """Let a DequantizeLinear give ``code - zero``."""
        graph, name = self.graph, self._name
        made = graph.cast(node.input[0], f"{node.output[0]}_floats", "FLOAT")
        if zero:
            middle = graph.put(name("middle"), np.array(zero, np.float32))
            node.op_type, node.input[:] = "Sub", [graph.insert(node, made), middle]
        else:
            node.op_type, node.input[:] = "Cast", [made.input[0]]
            node.attribute.extend(made.attribute)

    def _decoders(self) -> list[Proto]:
        """The nodes that give the layer's inputs of their codes, one for each call."""
        readers = self.graph.readers[self._name("inputs.scale")]
        return [node for node in readers if node.op_type == "DequantizeLinear"]

    def in_integers(self, step: float) -> None:
        """Codes with their gains, an integer bias, and inputs moved up where that is too coarse."""
        assert self.inputs is not None
        convolutions = [
            node for node in self.graph.readers[self.reader.output[0]] if node.op_type == "Conv"
        ]
        wanted = _FINE * step / float((self.inputs.scale * self.scale).max())
        codes = torch.from_numpy(self.codes).double()
        form = form_of(codes, self.inputs.most, 0.0 if np.isinf(wanted) else wanted)
        if convolutions and self.bias is not None:
            self._bias(form, self.inputs, self.bias, convolutions)
        if form.shift:
            self._shift(form.shift, self.inputs)
        self._weights(form)

    def _weights(self, form: Form) -> None:
        graph, gain = self.graph, form.gain.numpy()
        middle, kind = (_MIDDLE, np.uint8) if form.unsigned else (0, np.int8)
        if self.bits == 8:
            values = self.codes.astype(np.int32) * self._column(gain) + middle
            codes = graph.put(self._name("codes"), values.astype(kind))
        else:
            assert not form.unsigned  # so few bits saturate nothing
            codes = self._gained(self._stored(self.codes), self._column(gain))
        scale = graph.put(self._name("scale"), (self.scale / gain).astype(np.float32))
        zero = f"zero_{kind.__name__}_{len(gain)}"
        if zero not in graph.constants:
            graph.put(zero, np.full(len(gain), middle, kind))
        self.reader.input[:] = [codes, scale, zero]

    def _gained(self, codes: str, gain: Numbers) -> str:
        """int8 of packed codes and their gains, by way of int32: int8 itself has no product."""
        graph, name = self.graph, self._name
        return graph.insert(
            self.reader,
            graph.cast(codes, name("wide"), "INT32"),
            graph.node("Mul", [name("wide"), graph.put(name("gain"), gain)], name("gained")),
            graph.cast(name("gained"), name("int8"), "INT8"),
        )

    def _bias(
        self, form: Form, inputs: InputCodes, bias: Numbers, convolutions: list[Proto]
    ) -> None:
        """A bias in units of the accumulator; one that would not fit makes these coarser."""
        graph = self.graph
        fine = inputs.scale * self.scale / (form.gain.numpy() * 2.0**form.shift)
        units = np.maximum(fine, np.abs(bias) / _TALLEST)
        self.codes = np.rint(self.codes * self._column(fine / units)).astype(np.int8)
        self.scale = self.scale * (units / fine)
        source = graph.put(self._name("bias"), np.rint(bias / units).astype(np.int32))
        scale = graph.put(self._name("bias_scale"), units.astype(np.float32))
        for number, node in enumerate(convolutions):
            target = self._name(f"bias_{number}")
            made = graph.node("DequantizeLinear", [source, scale], target, axis=0)
            node.input[2] = graph.insert(node, made)

    def _shift(self, shift: int, inputs: InputCodes) -> None:
        """Codes moved up between where they are made and where they are read."""
        graph, name = self.graph, self._name
        by = graph.put(name("shift"), np.array(shift, np.uint8))
        scale = graph.put(name("shifted_scale"), np.array(inputs.scale / 2**shift, np.float32))
        zero = graph.put(name("shifted_zero"), np.array(inputs.zero << shift, np.uint8))
        for number, node in enumerate(self._decoders()):
            target = name(f"shifted_{number}")
            made = graph.node("BitShift", [node.input[0], by], target, direction="LEFT")
            node.input[:] = [graph.insert(node, made), scale, zero]

    def _stored(self, codes: Numbers) -> str:
        if self.bits == 8:
            return self.graph.put(self._name("codes"), codes)
        return self.graph.pack(self._name("codes"), codes, self.bits)

    def _column(self, values: Numbers) -> Numbers:
        return values.reshape(-1, *[1] * (self.codes.ndim - 1))

    def _name(self, what: str) -> str:
        return self.prefix + what
