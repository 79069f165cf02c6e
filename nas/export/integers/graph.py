"""A model of ONNX while it is rewritten: its constants, and who reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from nas.export.integers.packing import packed_codes

Proto = Any  # of onnx, which is optional


class Graph:
    """The graph of a model; ``finish`` puts the new nodes in their places."""

    def __init__(self, model: Proto) -> None:
        import onnx  # optional, and only needed here

        self.onnx, self.graph = onnx, model.graph
        self.constants = {each.name: each for each in self.graph.initializer}
        self.readers: dict[str, list[Proto]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
        self._ahead: dict[str, list[Proto]] = {}  # new nodes, by what the one after them gives

    def array(self, name: str) -> NDArray[Any]:
        """A constant."""
        found: NDArray[Any] = self.onnx.numpy_helper.to_array(self.constants[name])
        return found

    def put(self, name: str, values: NDArray[Any]) -> str:
        """Let a constant have these values; its name."""
        return self._put(self.onnx.numpy_helper.from_array(values, name))

    def pack(self, name: str, codes: NDArray[Any], bits: int) -> str:
        """Let a constant have these values in 2 or 4 bits; its name."""
        kind = getattr(self.onnx.TensorProto, f"INT{bits}")
        content = packed_codes(codes, bits)
        return self._put(self.onnx.helper.make_tensor(name, kind, codes.shape, content, raw=True))

    def insert(self, before: Proto, *nodes: Proto) -> str:
        """Have nodes put before a node; the name of what the last one gives."""
        self._ahead.setdefault(before.output[0], []).extend(nodes)
        return str(nodes[-1].output[0])

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Proto:
        """A new node of one output."""
        return self.onnx.helper.make_node(kind, inputs, [output], **attributes)

    def cast(self, source: str, target: str, kind: str) -> Proto:
        """A node that turns a value into another type."""
        return self.node("Cast", [source], target, to=getattr(self.onnx.TensorProto, kind))

    def finish(self) -> None:
        """Put the new nodes in their places."""
        nodes = [new for old in self.graph.node for new in (*self._before(old), old)]
        replace(self.graph.node, nodes)

    def _put(self, tensor: Proto) -> str:
        if tensor.name not in self.constants:
            self.constants[tensor.name] = self.graph.initializer.add()
        self.constants[tensor.name].CopyFrom(tensor)
        return str(tensor.name)

    def _before(self, node: Proto) -> Iterable[Proto]:
        return self._ahead.get(node.output[0], ()) if node.output else ()


def copied(model: Proto) -> Proto:
    """A copy of a model."""
    made = type(model)()
    made.CopyFrom(model)
    return made


def replace(container: Any, values: Sequence[Any]) -> None:
    """Let a repeated field of a protocol buffer hold these."""
    kept = [type(value).FromString(value.SerializeToString()) for value in values]
    del container[:]
    container.extend(kept)


def join_readers(model: Proto) -> None:
    """Let one DequantizeLinear read what several do: the weights of a layer called repeatedly."""
    first: dict[tuple[str, ...], str] = {}
    renamed: dict[str, str] = {}
    nodes = []
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type == "DequantizeLinear":
            kept = first.setdefault(tuple(node.input), node.output[0])
            if kept != node.output[0]:
                renamed[node.output[0]] = kept
                continue
        nodes.append(node)
    replace(model.graph.node, nodes)
