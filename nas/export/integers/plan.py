"""Which layers ONNX Runtime computes in integers: it is asked, not guessed.

An integer convolution needs codes of its inputs and of its outputs, and a runtime finds these in
more ways than are worth a list; so its word on every layer is taken before the file is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from nas.export.integers.graph import Graph, Proto, copied
from nas.export.integers.layers import IntegerLayer
from nas.export.integers.place import place_weights
from nas.export.integers.runtime import optimized

INTEGER = ("QLinearConv", "QGemm")  # operators with the weights' scale as their fifth input
_WEIGHT_SCALE, _OUTPUT_SCALE = 4, 6


@dataclass(frozen=True)
class Plan:
    """What is computed in integers.

    Attributes:
        computed: by layer the smallest step of its outputs' codes; infinite for those in fp32.
        operators: how many of each operator in integers that makes.
    """

    computed: Mapping[str, float]
    operators: Mapping[str, int]


def plan_of(model: Proto, layers: Mapping[str, IntegerLayer]) -> Plan:
    """Ask the runtime, with every layer in integers that can be.

    Args:
        model: as the integer network is traced; not changed.
        layers: of that network.
    """
    coded = {name: inf for name, layer in layers.items() if layer.input_codes is not None}
    steps = {
        f"{name}.inputs".removeprefix("."): layer.input_codes.scale
        for name, layer in layers.items()
        if layer.input_codes is not None
    }
    trial = copied(model)
    place_weights(trial, layers, coded)
    _tell_apart(trial, layers)
    computed: dict[str, float] = {}
    operators: Counter[str] = Counter()
    for node in optimized(trial.SerializeToString()).graph.node:
        if node.op_type in INTEGER:
            operators[node.op_type] += 1
            step = inf
            if node.op_type == "QLinearConv":
                step = steps.get(_name(node.input[_OUTPUT_SCALE]), inf)
            name = _name(node.input[_WEIGHT_SCALE])
            computed[name] = min(step, computed.get(name, inf))
    return Plan(computed, operators)


def _tell_apart(model: Proto, layers: Iterable[str]) -> None:
    """Let no two layers have equal scales: the runtime would join them, and their names."""
    graph = Graph(model)
    for number, layer in enumerate(layers):
        for what in ("scale", "bias_scale"):
            name = f"{layer}.{what}".removeprefix(".")
            if name in graph.constants:
                graph.put(name, graph.array(name) * np.float32(1 + number / 2**12))


def _name(scale: str) -> str:
    """Whose scale it is."""
    return scale.removesuffix("scale").removesuffix(".")
