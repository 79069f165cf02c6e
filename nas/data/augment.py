"""Augmentation of whole batches, every sample drawn for itself, for sequences and images alike.

Shift, flip and cutout are not torchvision's: the random transforms of ``torchvision.transforms.v2``
draw once per call, so a whole batch would get one crop, one flip and one erased region (tried with
torchvision 0.29). Others of them can be added and are then applied sample by sample.

Each operation separates the draw from its application: ``draw`` uses the generator (on the CPU,
hence the same batch on every device), ``apply`` is a pure function of the drawn numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.per_sample import PerSample
from nas.data.transfer import sent
from nas.dataspec import DataSpec
from nas.errors import NasError

Normalization = Callable[[Tensor], Tensor]


class Transform(Protocol):
    """One random operation on a batch."""

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Float ``(N, C, *spatial)`` to the same shape, with all randomness from ``generator``."""
        ...


@dataclass(frozen=True)
class RandomShift:
    """Pad every spatial axis with ``padding`` zeros per side and crop back at a random place."""

    padding: int

    def draw(self, n: int, dims: int, generator: torch.Generator) -> Tensor:
        """First position of the crop in the padded input, ``(n, dims)`` in 0..2 * padding."""
        return torch.randint(2 * self.padding + 1, (n, dims), generator=generator)

    def apply(self, inputs: Tensor, starts: Tensor) -> Tensor:
        """The crops of ``(N, C, *spatial)`` at ``starts`` ``(N, dims)``."""
        dims = starts.shape[1]
        windows = functional.pad(inputs, [self.padding] * 2 * dims)
        for axis in range(2, 2 + dims):  # a view (N, C, starts..., spatial...): nothing is copied
            windows = windows.unfold(axis, inputs.shape[axis], 1)
        samples = torch.arange(len(inputs), device=inputs.device)
        chosen: tuple[Tensor | slice, ...] = sent(starts, inputs.device).unbind(1)
        return windows[(samples, slice(None), *chosen)]

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Shifted inputs of the same shape."""
        return self.apply(inputs, self.draw(len(inputs), inputs.dim() - 2, generator))


@dataclass(frozen=True)
class RandomFlip:
    """Reverse the last axis of some samples: left and right of images, time of sequences."""

    probability: float = 0.5

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Which samples are flipped, ``(n,)`` bool."""
        return torch.rand(n, generator=generator) < self.probability

    def apply(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """The inputs with the ``chosen`` samples reversed."""
        mask = sent(chosen, inputs.device).view(-1, *[1] * (inputs.dim() - 1))
        return torch.where(mask, inputs.flip(-1), inputs)

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs of the same shape, some of them reversed."""
        return self.apply(inputs, self.draw(len(inputs), generator))


@dataclass(frozen=True)
class Cutout:
    """Zero one square (2-D) or segment (1-D) per sample (arXiv:1708.04552).

    Its center is any position of the input, so a part of it may lie outside. For an even size this
    is the region of the code released with the paper; for an odd one that code erases one less.
    """

    size: int

    def draw(self, spatial: Sequence[int], n: int, generator: torch.Generator) -> Tensor:
        """Centers ``(n, dims)``."""
        return torch.stack([torch.randint(s, (n,), generator=generator) for s in spatial], dim=1)

    def apply(self, inputs: Tensor, centers: Tensor) -> Tensor:
        """The inputs with zeros at ``center - size // 2`` and the ``size - 1`` places after it."""
        n, dims = centers.shape
        hole = torch.ones((n, *[1] * (dims + 1)), dtype=torch.bool, device=inputs.device)
        starts = sent(centers - self.size // 2, inputs.device)
        for axis in range(dims):
            places = torch.arange(inputs.shape[2 + axis], device=inputs.device)
            offset = places - starts[:, axis, None]
            inside = (offset >= 0) & (offset < self.size)
            hole = hole & inside.view(n, *[-1 if a == axis + 1 else 1 for a in range(dims + 1)])
        return inputs.masked_fill(hole, 0.0)

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs of the same shape with one region erased in each."""
        return self.apply(inputs, self.draw(inputs.shape[2:], len(inputs), generator))


@dataclass(frozen=True)
class Augment:
    """Shift, flip, normalize, cut out: the order of the released CIFAR training code.

    Shifting pads with black (0 before normalization), and cutting out fills with the mean color
    (0 after it); any other order would change one of the two.

    Args:
        shift: padding of the random crop in positions; 0 leaves it out.
        flip: whether half the samples are reversed along the last axis.
        cutout: side of the erased square or segment in positions; 0 leaves it out.
        before: further operations on inputs in [0, 1], after shift and flip. A module, such as
            one of ``torchvision.transforms.v2``, is applied to each sample by `PerSample`.
        after: further operations on normalized inputs, before cutout; modules likewise.

    Raises:
        NasError: if shift or cutout is negative or not whole.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0
    before: Sequence[Transform | nn.Module] = ()
    after: Sequence[Transform | nn.Module] = ()

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            given = getattr(self, name)
            if not isinstance(given, Sequence) or not all(map(callable, given)):
                raise NasError(
                    f"{name} must be a list of transforms, got {given!r}; name each by _target_ "
                    "in the augmentation settings"
                )
            wrapped = [PerSample(t) if isinstance(t, nn.Module) else t for t in given]
            object.__setattr__(self, name, tuple(wrapped))
        for name in ("shift", "cutout"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise NasError(
                    f"{name} must be a whole number of positions of at least 0 (0 turns it off), "
                    f"got {value!r}; change it in the augmentation settings"
                )

    def check(self, spec: DataSpec) -> None:
        """Raise NasError unless this augmentation fits the size and the kind of the data."""
        for name in ("shift", "cutout"):
            value = getattr(self, name)
            if value >= min(spec.size):
                raise NasError(
                    f"{name}={value} does not fit inputs of size "
                    f"{'x'.join(map(str, spec.size))}; use at most {min(spec.size) - 1}, or 0"
                )
        if spec.kind in ("dense", "image") and (self.shift or self.flip):
            raise NasError(
                f"shift and flip would move the inputs and not the targets of data of kind "
                f"{spec.kind!r}; set shift=0 and flip=false"
            )

    def __call__(
        self,
        inputs: Tensor,
        generator: torch.Generator,
        normalization: Normalization = lambda inputs: inputs,
    ) -> Tensor:
        """Augmented and normalized ``(N, C, *spatial)`` from float inputs in [0, 1]."""
        if self.shift:
            inputs = RandomShift(self.shift)(inputs, generator)
        if self.flip:
            inputs = RandomFlip()(inputs, generator)
        for transform in self.before:
            inputs = transform(inputs, generator)
        inputs = normalization(inputs)
        for transform in self.after:
            inputs = transform(inputs, generator)
        return Cutout(self.cutout)(inputs, generator) if self.cutout else inputs
