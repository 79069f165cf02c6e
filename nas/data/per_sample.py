"""Transforms that were written for one sample, applied to each of a batch on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.errors import NasError


@dataclass(frozen=True)
class PerSample:
    """Apply a transform of ``torchvision.transforms.v2`` to every sample, each with its own draw.

    Such transforms draw from torch's global numbers, once per call. Here these are seeded for each
    sample from the batch's generator, and put back as they were afterwards.

    Args:
        transform: from ``(C, *spatial)`` float to the same shape.
    """

    transform: Callable[[Tensor], Tensor]

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Transformed ``(N, C, *spatial)``; NasError if the transform changes the shape."""
        seeds = torch.randint(2**62, (len(inputs),), generator=generator).tolist()
        devices = [inputs.device] if inputs.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            done = [self._one(sample, seed) for sample, seed in zip(inputs, seeds, strict=True)]
        return torch.stack(done)

    def _one(self, sample: Tensor, seed: int) -> Tensor:
        # not torch.manual_seed, which seeds every GPU of the process
        torch.default_generator.manual_seed(seed)
        if sample.is_cuda:
            torch.cuda.default_generators[sample.device.index].manual_seed(seed)
        found = self.transform(sample)
        if not isinstance(found, Tensor) or found.shape != sample.shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise NasError(
                f"the transform {type(self.transform).__name__} made {got} of an input of shape "
                f"{tuple(sample.shape)}; an augmentation has to keep the shape"
            )
        return found
