"""ONNX as a user expects it: in integers where the network is quantized, else in fp32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nas.costs import count_bytes
from nas.errors import NasError
from nas.export.base import Run
from nas.export.integers.compact import compact
from nas.export.integers.contents import matrices_of, size_of, structure_of
from nas.export.integers.convert import integer_layers, integer_network, quantized_layers
from nas.export.integers.graph import Proto, join_readers
from nas.export.integers.layers import OPSET, IntegerLayer, as_operators
from nas.export.integers.packing import opset_of
from nas.export.integers.place import place_weights
from nas.export.integers.plan import Plan, plan_of
from nas.export.integers.runtime import ROUNDS, times_of
from nas.export.integers.steps import MOST_SHARE, Steps, steps_of
from nas.export.integers.variants import in_fp32
from nas.export.onnx import OnnxExporter, onnx_model, serialized
from nas.export.parity import TOLERANCE
from nas.export.program import Tracer
from nas.files import read_bytes, write_atomic


@dataclass(frozen=True)
class _Written:
    """What was made of a network, for the checks of its file."""

    network: nn.Module
    layers: int
    plan: Plan
    matrices: int
    fp32: bytes


class OnnxFile:
    """``model.onnx``: a network with quantized layers in integers, any other in fp32.

    Args:
        tracer: of networks in fp32, where another format shares its trace.
        rounds: readings of the time in integers and in fp32; 0 reads none.
    """

    def __init__(self, tracer: Tracer | None = None, rounds: int = ROUNDS) -> None:
        self._plain, self._rounds = OnnxExporter(tracer), rounds
        self._written: _Written | None = None

    def missing(self) -> str:
        """What to install where onnx, onnxscript or onnxruntime is absent."""
        return self._plain.missing()

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """Write ``model.onnx``; raises UnfitError for quantization that is none of integers."""
        self._written = None
        if not quantized_layers(network):
            return self._plain(network, genotype_text, example, directory)
        integers = integer_network(network, example.shape[1:])
        model = _traced(integers, example)
        layers = _layers_in(model, integers)
        fp32, plan = in_fp32(model), plan_of(model, layers)
        place_weights(model, layers, plan.computed)
        for each in (model, fp32):
            compact(each)
        beside, matrices = serialized(fp32, genotype_text), matrices_of(integers)
        self._written = _Written(network, len(layers), plan, matrices, beside)
        return write_atomic(directory / "model.onnx", serialized(model, genotype_text))

    def reload(self, path: Path, network: nn.Module) -> Run:
        """The file in onnxruntime on the CPU; ``network`` is not needed."""
        return self._plain.reload(path, network)

    def measure(
        self, path: Path, network: nn.Module, example: Tensor, seed: int
    ) -> Mapping[str, Any]:
        """What is known of a file in integers, times in ms on one thread; nothing of one in fp32.

        Raises:
            NasError: where a layer's numbers are not those of the trained network's.
        """
        made = self._written
        if made is None or made.network is not network:
            return {}
        shape = example.shape[1:]
        file = read_bytes(path)
        steps = steps_of(file, network, shape, seed)
        _check(steps)
        predicted = count_bytes(network)
        unmet = [
            *structure_of(file, made.plan.operators, made.matrices),
            *size_of(len(file), predicted, made.layers),
        ]
        facts: dict[str, Any] = {
            "layers": made.layers,
            "computed": len(made.plan.computed),
            "fp32_bytes": len(made.fp32),
            "predicted_bytes": predicted,
            "codes_off": steps.share,
            "steps_off": steps.largest,
            "outputs_off": steps.outputs,
            "unmet": unmet,
        }
        if self._rounds:
            files = {"fp32_ms": made.fp32, "ms": file}
            facts |= times_of(files, shape, self._rounds)
        return facts


def _layers_in(model: Proto, integers: nn.Module) -> dict[str, IntegerLayer]:
    """The layers of integers that the model runs; a network may have more."""
    read = {name for node in model.graph.node for name in node.input}
    found = integer_layers(integers).items()
    return {name: layer for name, layer in found if f"{name}.codes".removeprefix(".") in read}


def _traced(integers: nn.Module, example: Tensor) -> Proto:
    """The integer network in ONNX, without what is constant.

    torch's own simplification would join equal weights of layers.
    """
    from onnxscript import optimizer, rewriter  # optional, and only needed here

    opset = max(opset_of(layer.bits, OPSET) for layer in integer_layers(integers).values())
    with as_operators(integers):
        program = Tracer()(integers, example)
        outputs = len(program.graph_signature.user_outputs)
        model = onnx_model(program, outputs, optimize=False, opset=opset)
    optimizer.fold_constants(model)
    found = rewriter.rewrite(model)
    join_readers(found)
    del found.graph.value_info[:]  # shapes that a runtime infers itself
    return found


def _check(steps: Steps) -> None:
    if steps.largest > 1 or steps.share > MOST_SHARE or steps.outputs > TOLERANCE:
        raise NasError(
            f"export onnx: with the inputs of the trained network {steps.share:.1%} of a layer's "
            f"integers are off, by up to {steps.largest} steps, and outputs by "
            f"{steps.outputs:.3g}; allowed are {MOST_SHARE:.0%}, one step and "
            f"{TOLERANCE:.3g}; nothing was written, take formats=[onnx_float]"
        )
