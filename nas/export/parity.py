"""Does the artifact compute what the network computes?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from nas.compression.quantizer import Quantizer
from nas.errors import NasError
from nas.export.base import Run

TOLERANCE = 1e-4
ONE_LEVEL = 0.1  # of a network whose inputs of layers are rounded, in other kernels
BATCHES = (1, 4)


def random_inputs(input_shape: Sequence[int], count: int, seed: int) -> Iterator[Tensor]:
    """``count`` standard normal inputs for each batch size of BATCHES, a function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for batch in BATCHES:
            yield torch.randn(batch, *input_shape, generator=generator)


@torch.no_grad()
def largest_difference(
    network: nn.Module, run: Run, input_shape: Sequence[int], *, count: int = 2, seed: int = 0
) -> float:
    """Largest abs(run - network) / max(1, abs(network)) over all outputs of ``random_inputs``.

    ``network`` must be in eval mode. Infinite where outputs differ in number or shape, or where
    the artifact computes NaN.

    Raises:
        NasError: if the network itself computes NaN or infinity.
    """
    largest = 0.0
    for inputs in random_inputs(input_shape, count, seed):
        expected, found = tensors_of(network(inputs)), tensors_of(run(inputs))
        if not all(bool(y.isfinite().all()) for y in expected):
            raise NasError(
                "the network to export computes NaN or infinity on random inputs: "
                "retrain it with a lower learning rate"
            )
        largest = max(largest, largest_of(expected, found))
    return largest


def largest_of(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Largest abs(found - expected) / max(1, abs(expected)); infinite for NaN and other shapes."""
    if [y.shape for y in expected] != [y.shape for y in found]:
        return math.inf
    largest = 0.0
    for wanted, got in zip(expected, found, strict=True):
        relative = (got - wanted).abs() / wanted.abs().clamp(min=1)
        if relative.numel():
            relative = relative.nan_to_num(nan=math.inf, posinf=math.inf)
            largest = max(largest, float(relative.max()))
    return largest


@torch.no_grad()
def repeats(network: nn.Module, input_shape: Sequence[int], *, seed: int = 0) -> bool:
    """Whether ``network``, in eval mode, gives equal inputs equal outputs; not if it draws noise.

    A network that computes NaN repeats itself: ``largest_difference`` says what is wrong with it.
    """
    inputs = next(random_inputs(input_shape, 1, seed))
    pairs = zip(tensors_of(network(inputs)), tensors_of(network(inputs)), strict=True)
    return all(torch.allclose(y, again, equal_nan=True) for y, again in pairs)


def tolerance_of(network: nn.Module, tolerance: float) -> float:
    """The largest difference allowed to a file that other kernels than the network's run.

    Their sums are off by 1e-7, which moves an input that lies between two levels to the other one:
    so more is allowed where inputs are quantized. Weights are rounded by no sum.
    """
    quantizers = (getattr(part, "input_quantizer", None) for part in network.modules())
    rounds = any(isinstance(each, Quantizer) for each in quantizers)
    return max(tolerance, ONE_LEVEL) if rounds else tolerance


def check(name: str, difference: float, tolerance: float = TOLERANCE) -> None:
    """Raise NasError naming format and figure unless ``difference`` is within ``tolerance``."""
    if not difference <= tolerance:
        raise NasError(
            f"export {name}: outputs differ from the network's by {difference:.3g}, "
            f"allowed are {tolerance:.3g}; nothing was written, leave {name!r} out of the formats"
        )


def tensors_of(outputs: object) -> list[Tensor]:
    """The tensors of any nesting, in order; None (an absent auxiliary head) is left out."""
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        return [tensor for part in outputs for tensor in tensors_of(part)]
    return []
