"""How far the integers of a file are from those of the trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.export.integers.codes import InputCodes, input_codes
from nas.export.integers.convert import quantized_layers
from nas.export.integers.runtime import session_of
from nas.export.integers.variants import coded_inputs, given, taught
from nas.export.parity import largest_of, random_inputs, tensors_of

MOST_SHARE = 0.05  # of codes that may be off by one step
REPEATS = 4  # of the batches of random inputs


@dataclass(frozen=True)
class Steps:
    """How far a file's codes are from those of the trained network, layer by layer.

    Attributes:
        share: of codes that differ, in the layer where most do.
        largest: difference of a code.
        outputs: largest difference of an output, relative to max(1, abs(output)).
    """

    share: float
    largest: int
    outputs: float


@torch.no_grad()
def steps_of(file: bytes, network: nn.Module, input_shape: Sequence[int], seed: int) -> Steps:
    """Compare every layer where its inputs are those of the trained network, on random inputs.

    Args:
        file: the model as it is delivered.
        network: the trained one, in eval mode.
        input_shape: of one input, without the batch.
        seed: of the inputs.
    """
    import onnx  # optional, and only needed here

    model = onnx.load_from_string(file)
    places = coded_inputs(model)
    tallies = [_Tally() for _ in places]
    outputs = 0.0
    for inputs in random_inputs(input_shape, REPEATS, seed):
        codes, expected = codes_of(network, inputs)
        cut = taught(model, {name: [c.shape for c in calls] for name, calls in codes.items()})
        feeds = given(model, codes)
        session = session_of(cut.SerializeToString())
        made = [out.name for out in session.get_outputs()]
        results = session.run(None, {"input": inputs.numpy(), **feeds})
        found = dict(zip(made, results, strict=True))
        for place, tally, wanted in zip(places, tallies, feeds.values(), strict=True):
            tally.add(np.abs(found.pop(place.codes).astype(int) - wanted))
        difference = largest_of(tensors_of(expected), list(map(torch.from_numpy, found.values())))
        outputs = max(outputs, difference)
    share = max((tally.off / tally.count for tally in tallies), default=0.0)
    return Steps(share, max((tally.largest for tally in tallies), default=0), outputs)


@dataclass
class _Tally:
    """How many codes of one layer differ, and by how much."""

    count: int = 0
    off: int = 0
    largest: int = 0

    def add(self, steps: NDArray[np.int64]) -> None:
        self.count += steps.size
        self.off += int(np.count_nonzero(steps))
        self.largest = max(self.largest, int(steps.max(initial=0)))


def codes_of(
    network: nn.Module, inputs: Tensor
) -> tuple[dict[str, list[NDArray[np.uint8]]], object]:
    """The codes of each quantized layer's input, call by call, and the outputs of the network."""
    found: dict[str, list[NDArray[np.uint8]]] = {}
    handles = []
    for name, layer in quantized_layers(network).items():
        coded = input_codes(name, layer.input_quantizer)
        if coded is not None:
            keep = _Keep(coded, found.setdefault(name, []))
            handles.append(layer.input_quantizer.register_forward_hook(keep))
    try:
        return found, network(inputs)
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class _Keep:
    """A hook that keeps the codes of what a quantizer gives."""

    codes: InputCodes
    found: list[NDArray[np.uint8]]

    def __call__(self, module: nn.Module, arguments: Any, levels: Tensor) -> None:
        steps = torch.round(levels.double() / self.codes.scale) + self.codes.zero
        self.found.append(steps.to(torch.uint8).numpy())
