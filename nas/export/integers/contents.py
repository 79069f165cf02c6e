"""What is in a file of integers, and how large it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from torch import nn

from nas.costs.opened import auxiliary_of
from nas.export.integers.plan import INTEGER
from nas.export.integers.runtime import optimized

SLACK, GRAPH, PER_LAYER = 1.05, 32 * 1024, 512  # a file beside its weights: share, and bytes


def structure_of(file: bytes, operators: Mapping[str, int], matrices: int) -> list[str]:
    """What is in a file that should not be, or the other way round; nothing where all is well.

    Args:
        file: its bytes.
        operators: how many of each operator in integers ONNX Runtime should make of it.
        matrices: how many numbers in fp32 it may hold in tensors of several rows and columns.
    """
    found = Counter(node.op_type for node in optimized(file).graph.node)
    complaints = [
        f"{found[name]} of {operators.get(name, 0)} operators {name} in ONNX Runtime"
        for name in INTEGER
        if found[name] != operators.get(name, 0)
    ]
    numbers = _numbers_in_matrices(file)
    if numbers > matrices:
        complaints.append(f"{numbers:,} weights in fp32 where there should be {matrices:,}")
    return complaints


def size_of(size: int, predicted: int, layers: int) -> list[str]:
    """A complaint where a file is larger than the predicted bytes of its weights let expect."""
    allowed = int(SLACK * predicted) + GRAPH + PER_LAYER * layers
    if size <= allowed:
        return []
    return [f"{size:,} bytes where {predicted:,} are predicted and {allowed:,} allowed"]


def matrices_of(net: nn.Module) -> int:
    """Numbers in fp32 in tensors of several rows and columns, of all that inference runs."""
    modules = set(net.modules()) - auxiliary_of(net)
    tensors = (t for m in modules for t in (*m.parameters(False), *m.buffers(False)))
    return sum(t.numel() for t in tensors if t.is_floating_point() and _is_matrix(t.shape))


def _numbers_in_matrices(file: bytes) -> int:
    import onnx  # optional, and only needed here

    model = onnx.load_from_string(file)
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    return sum(prod(tensor.dims) for tensor in floats if _is_matrix(tensor.dims))


def _is_matrix(shape: Sequence[int]) -> bool:
    return sum(size > 1 for size in shape) > 1
