"""The network as ONNX, by torch's own exporter; needs the extra ``export``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from nas.errors import NasError
from nas.export.base import Run
from nas.export.program import BATCH, Tracer
from nas.files import write_atomic

_LIMIT = 2**31 - 2**24  # bytes of weights in one file: protobuf ends at 2 GiB, the graph needs some


class OnnxExporter:
    """One file with graph, weights in fp32 and genotype; batch size free.

    Args:
        tracer: of the network, where another format shares its trace.
        name: of the file.
    """

    def __init__(self, tracer: Tracer | None = None, name: str = "model.onnx") -> None:
        self._trace, self._name = tracer or Tracer(), name

    def missing(self) -> str:
        """What to install where onnx, onnxscript or onnxruntime is absent."""
        needed = ("onnx", "onnxscript", "onnxruntime")
        return "" if all(find_spec(name) for name in needed) else "install [export]"

    def __call__(
        self, network: nn.Module, genotype_text: str, example: Tensor, directory: Path
    ) -> Path:
        """Write ``model.onnx``; input ``input``, output ``output`` (``output_0``... if several)."""
        size = sum(tensor.nbytes for tensor in network.state_dict().values())
        if size > _LIMIT:
            raise NasError(
                f"ONNX holds at most 2 GiB in one file, these weights have {size / 2**30:.1f} GiB: "
                "leave 'onnx' out of the formats"
            )
        program = self._trace(network, example)
        model = onnx_model(program, len(program.graph_signature.user_outputs))
        return write_atomic(directory / self._name, serialized(model, genotype_text))

    def reload(self, path: Path, network: nn.Module) -> Run:
        """The file in onnxruntime on the CPU; ``network`` is not needed."""
        import onnxruntime  # optional, and only needed here

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name

        def run(inputs: Tensor) -> object:
            return [torch.from_numpy(out) for out in session.run(None, {name: inputs.numpy()})]

        return run


def onnx_model(
    program: ExportedProgram, outputs: int, optimize: bool = True, opset: int | None = None
) -> Any:
    """The program in ONNX, a ``ModelProto``; output ``output``, or ``output_0``... if several.

    Args:
        program: of one input, with a free batch.
        outputs: how many tensors it gives.
        optimize: whether torch's exporter simplifies the graph.
        opset: version of the operators; None takes torch's choice.
    """
    names = ["output"] if outputs == 1 else [f"output_{i}" for i in range(outputs)]
    with _quiet():
        converted = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            dynamic_shapes=BATCH,  # names the free dimension "batch"
            input_names=["input"],
            output_names=names,
            optimize=optimize,
            opset_version=opset,
        )
    assert converted is not None  # only None for the exporter of torch 1
    return converted.model_proto


def serialized(model: Any, genotype_text: str) -> bytes:
    """The bytes of a ``ModelProto`` with its genotype, and nothing of the machine it is made on."""
    _forget_sources(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = "genotype", genotype_text
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _forget_sources(model: Any) -> None:
    """Drop what the exporter notes on every node: folders of this machine, half of the file."""
    graph = model.graph
    del graph.metadata_props[:]
    for group in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for item in group:
            del item.metadata_props[:]
            item.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the one thing the exporter says: which operators of torchvision it skips."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addFilter(_is_news)
    try:
        yield
    finally:
        logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("torchvision is not installed")
