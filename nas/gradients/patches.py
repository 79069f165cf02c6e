"""A few of the patches that a layer reads, without unfolding all of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.gradients.layers import Convolution, Layer, after_padding, before_padding, taps
from nas.searchable.watch import Reading, settled

AXES = 3  # of a draw: sample, and up to two of space


@dataclass(frozen=True)
class Places:
    """Where to look: K taps of r patches, as indices into (N, C, ...).

    Attributes:
        samples: (r, 1).
        coordinates: one tensor (r, K) per axis of space.
        inside: whether a tap hits the input and not its padding, (r, K); None if all do.
    """

    samples: Tensor
    coordinates: tuple[Tensor, ...]
    inside: Tensor | None


@dataclass
class Draw:
    """Places drawn for one forward, the same relative ones in every layer.

    Attributes:
        numbers: (r, 3) in [0, 1), on the device of the inputs.
    """

    numbers: Tensor
    _known: dict[Hashable, Places] = field(default_factory=dict)

    def columns(self, layer: Layer, reading: Reading) -> Tensor:
        """Some of the vectors that a layer's blocks are multiplied with, (blocks, D, r)."""
        with torch.no_grad():
            if isinstance(layer.module, nn.Linear):
                return self._rows(reading).mT[None]
            if reading.through is None:
                patches = self._patches(cast(Convolution, layer.module), reading)
            else:
                patches = self._passed(cast(Convolution, reading.through), reading)
            count, size, _ = patches.shape
            return (
                patches.view(count, size, layer.blocks, -1)
                .permute(2, 3, 1, 0)
                .reshape(layer.blocks, layer.size, count)
            )

    def _rows(self, reading: Reading) -> Tensor:
        """Of inputs (..., D): (r, D)."""
        rows = reading.z.reshape(-1, reading.z.shape[-1])
        return settled(reading, rows[_scaled(self.numbers[:, 0], len(rows))])

    def _passed(self, depthwise: Convolution, reading: Reading) -> Tensor:
        """What a depthwise convolution makes of the patches: (r, 1, C)."""
        patches = self._patches(depthwise, reading)
        kernel = depthwise.weight.flatten(1).mT  # (K, C)
        return (patches * kernel).sum(1, keepdim=True)

    def _patches(self, conv: Convolution, reading: Reading) -> Tensor:
        """Of inputs (N, C, ...): (r, K, C)."""
        places = self._places(conv, reading)
        where: Any = (places.samples, slice(None), *places.coordinates)
        found = settled(reading, reading.z[where])
        return found if places.inside is None else found * places.inside.unsqueeze(-1)

    def _places(self, conv: Convolution, reading: Reading) -> Places:
        shape = tuple(reading.z.shape)
        geometry = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        key = (shape[0], shape[2:], reading.subsampled, *geometry)
        if key not in self._known:
            stride = (1,) * len(conv.stride) if reading.subsampled else conv.stride
            self._known[key] = self._located(conv, shape, stride)
        return self._known[key]

    def _located(self, conv: Convolution, shape: Sequence[int], stride: Sequence[int]) -> Places:
        offsets = torch.tensor(taps(conv), device=self.numbers.device)  # (K, axes)
        front, back = before_padding(conv), after_padding(conv)
        coordinates, inside = [], []
        for axis, size in enumerate(shape[2:]):
            reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1
            count = (size + front[axis] + back[axis] - reach) // stride[axis] + 1
            first = _scaled(self.numbers[:, 1 + axis], count) * stride[axis] - front[axis]
            place = first[:, None] + offsets[:, axis]
            inside.append((place >= 0) & (place < size))
            coordinates.append(place.clamp(0, size - 1))
        padded = any(front) or any(back)
        hit = torch.stack(inside).all(0) if padded else None
        return Places(_scaled(self.numbers[:, :1], shape[0]), tuple(coordinates), hit)


def draw(count: int, generator: torch.Generator, device: torch.device) -> Draw:
    """Places of ``count`` patches, drawn on the CPU."""
    return Draw(torch.rand(count, AXES, generator=generator).to(device))


def _scaled(numbers: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1) as indices below ``count``."""
    return (numbers * count).long().clamp_max(count - 1)
