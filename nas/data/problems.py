"""Small problems drawn from a generator: what is seen, what is wanted, and what that is called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from nas.dataspec import Kind

WAVES = ("sine", "square", "triangle", "sawtooth")
PERIODS = (32, 16, 9, 6, 4)  # of the components of `labels`, in positions
TEXTURES = ("rows", "columns", "diagonals")
STRIPES = 4  # period of a texture, in positions
HILLS, WIDTHS = 3, (1 / 7, 1 / 4)  # how many, and their standard deviations in sides of the image


class Drawn(NamedTuple):
    """Inputs (N, 1, ...) float32, their targets, and what a DataSpec says of these."""

    inputs: Tensor
    targets: Tensor
    kind: Kind
    outputs: int
    names: tuple[str, ...] = ()


def waves(count: int, size: int, noise: float, generator: torch.Generator) -> Drawn:
    """The shape of a wave, one of four, of any phase, amplitude and 2 to 5 periods."""
    shape = torch.randint(len(WAVES), (count,), generator=generator)
    periods = _between(2, 5, (count, 1), generator)
    place = periods * torch.arange(size) / size + torch.rand(count, 1, generator=generator)
    sign = 2.0 * torch.randint(2, (count, 1), generator=generator) - 1
    amplitude = _between(0.7, 1.3, (count, 1), generator)
    phase = place - place.floor()
    each = torch.stack(  # all of variance 1
        [
            math.sqrt(2) * torch.sin(2 * math.pi * phase),
            1 - 2 * (phase < 0.5).float(),
            math.sqrt(3) * (4 * (phase - 0.5).abs() - 1),
            math.sqrt(3) * (2 * phase - 1),
        ]
    )
    chosen = sign * amplitude * each[shape, torch.arange(count)]
    return Drawn(_noisy(chosen, noise, generator), shape, "classes", len(WAVES), WAVES)


def labels(count: int, size: int, noise: float, generator: torch.Generator) -> Drawn:
    """Which of five periodic components a signal has, each of any phase and amplitude."""
    wanted = (count, len(PERIODS), 1)
    there = torch.randint(2, wanted, generator=generator).float()
    amplitude = _between(0.6, 1.2, wanted, generator)
    turns = torch.arange(size) / torch.tensor(PERIODS)[:, None]
    part = torch.sin(2 * math.pi * (turns + torch.rand(wanted, generator=generator)))
    signal = (there * amplitude * part).sum(1)
    names = tuple(f"period_{period}" for period in PERIODS)
    return Drawn(_noisy(signal, noise, generator), there[..., 0], "multi-label", len(names), names)


def regions(count: int, size: int, noise: float, generator: torch.Generator) -> Drawn:
    """The texture at each position, one of three, in an image of four regions."""
    centers = torch.rand(count, 4, 2, generator=generator) * size
    texture = torch.randint(len(TEXTURES), (count, 4), generator=generator)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    grid = torch.stack([row, column], -1).float().view(1, -1, 2)
    nearest = torch.cdist(grid.expand(count, -1, -1), centers).argmin(-1)
    target = texture.gather(1, nearest).view(count, size, size)
    along = torch.stack([row, column, row + column]).float()
    phase = torch.rand(count, len(TEXTURES), 1, 1, generator=generator)
    stripes = torch.sin(2 * math.pi * (along / STRIPES + phase))
    image = stripes.gather(1, target[:, None])[:, 0]
    return Drawn(_noisy(image, noise, generator), target, "dense", len(TEXTURES), TEXTURES)


def fields(count: int, size: int, noise: float, generator: torch.Generator) -> Drawn:
    """How steep a landscape of three hills and valleys is, in [0, 1], from its noisy heights.

    The target is ``tanh(|gradient| / g)``, ``g`` the largest gradient of the steepest single hill.
    """
    wanted = (count, HILLS, 1, 1)
    low, high = WIDTHS
    width = _between(low, high, wanted, generator)
    sign = 2.0 * torch.randint(2, wanted, generator=generator) - 1
    top = sign * _between(0.5, 1.0, wanted, generator)
    axis = (torch.arange(size) + 0.5) / size
    y = axis[:, None] - torch.rand(wanted, generator=generator)
    x = axis - torch.rand(wanted, generator=generator)
    hill = top * torch.exp(-(y**2 + x**2) / (2 * width**2))
    slope = torch.hypot((hill * y / width**2).sum(1), (hill * x / width**2).sum(1))
    steepest = math.exp(-0.5) / low
    target = torch.tanh(slope / steepest)[:, None]
    return Drawn(_noisy(hill.sum(1), noise, generator), target, "image", 1)


PROBLEMS: Mapping[str, Callable[[int, int, float, torch.Generator], Drawn]] = {
    "waves": waves,
    "labels": labels,
    "regions": regions,
    "fields": fields,
}


def _between(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _noisy(clean: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    return (clean + noise * torch.randn(clean.shape, generator=generator))[:, None]
