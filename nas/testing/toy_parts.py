"""Modules of the toy spaces."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas.decision import Candidate, Decision
from nas.supernet import Slot

CHANNELS = 4  # of one block of the input
_CONV: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_NORM: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


class Read(nn.Module):
    """Fills every position of the last axis with the value at one place of it."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``."""
        return x[..., self.place : self.place + 1].expand_as(x)


def read(place: Candidate, channels: int, dims: int) -> nn.Module:
    """Read one place, mix channels, normalize; larger kernels at odd places, for the costs."""
    kernel = 1 + 2 * (int(place) % 2)
    return nn.Sequential(
        Read(int(place)),
        _CONV[dims](channels, channels, kernel, padding=kernel // 2, bias=False),
        _NORM[dims](channels, affine=False),
    )


class Head(nn.Module):
    """Mean over positions, then class scores (N, classes)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ``x`` (N, C, ...)."""
        scores: Tensor = self.classifier(x.flatten(2).mean(-1))
        return scores


def signs_and_classes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two random bits per sample as signs (count, 2), and the class that they spell."""
    bits = torch.randint(2, (count, 2), generator=generator)
    return 2.0 * bits - 1.0, 2 * bits[:, 0] + bits[:, 1]


class Branches(nn.Module):
    """Each module on its own block of channels, the results side by side, then class scores."""

    def __init__(self, parts: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.head = Head(len(parts) * CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, classes) of ``x`` (N, blocks * C, ...)."""
        blocks = torch.split(x, CHANNELS, 1)
        found = [part(block) for part, block in zip(self.parts, blocks, strict=True)]
        scores: Tensor = self.head(torch.cat(found, 1))
        return scores


class SumOfBlocks(nn.Module):
    """A node whose inputs are the blocks of channels, then class scores."""

    def __init__(self, node: nn.Module) -> None:
        super().__init__()
        self.node, self.head = node, Head(CHANNELS, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 4) of ``x`` (N, blocks * C, ...)."""
        scores: Tensor = self.head(self.node(torch.split(x, CHANNELS, 1)))
        return scores


class MeanOfBlocks(nn.Module):
    """Keeps features, takes the mean of each block of them, then class scores."""

    def __init__(self, keep: nn.Module) -> None:
        super().__init__()
        self.keep, self.head = keep, Head(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 4) of ``x`` (N, features, ...)."""
        kept: Tensor = self.keep(x)
        n, features, *size = kept.shape
        blocks = kept.view(n, 2, features // 2, *size).mean(2)
        scores: Tensor = self.head(blocks)
        return scores


class Leading(nn.Module):
    """Sets all but the first ``sizes[g]`` features of block ``g`` to zero."""

    def __init__(self, sizes: Sequence[int], block: int) -> None:
        super().__init__()
        self.sizes, self.block = tuple(sizes), block

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``."""
        keep = [[float(i < size) for i in range(self.block)] for size in self.sizes]
        return x * x.new_tensor(keep).view(1, -1, *[1] * (x.dim() - 2))


class PooledAt(nn.Module):
    """Halves a sequence ``before`` or ``after`` it is rectified, and normalizes it."""

    def __init__(self, place: str = "") -> None:
        super().__init__()
        self.place = place
        self.mix = nn.Conv1d(CHANNELS, CHANNELS, 1, bias=False)
        self.norm = nn.BatchNorm1d(CHANNELS, affine=False)

    def forward(self, x: Tensor, place: str = "") -> Tensor:
        """Half the length of ``x`` (N, C, L)."""
        pool = nn.functional.avg_pool1d
        first = (place or self.place) == "before"
        kept = self.mix(pool(x, 2)).abs() if first else pool(self.mix(x).abs(), 2)
        normed: Tensor = self.norm(kept)
        return normed


class PoolAt(nn.Module):
    """The same with the place open: a hard choice, since inner shapes depend on it.

    The result is multiplied by the weight of the place taken, so that a straight-through policy
    gets a gradient.
    """

    def __init__(self, places: Decision) -> None:
        super().__init__()
        self.slot, self.pooled = Slot(places), PooledAt()

    def forward(self, x: Tensor) -> Tensor:
        """Half the length of ``x`` (N, C, L)."""
        weights = self.slot()
        place = str(self.slot.decision.candidates[weights.index])
        result: Tensor = weights.row[weights.index] * self.pooled(x, place)
        return result

    def freeze(self) -> nn.Module:
        """A copy with the place fixed."""
        fixed = copy.deepcopy(self.pooled)
        fixed.place = str(self.slot.decision.candidates[self.slot().index])
        return fixed


class UnitHead(nn.Module):
    """Class scores by directions of length 1, so that the size of the features means confidence."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(classes, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, classes) of ``x`` (N, C, L)."""
        return nn.functional.linear(x.mean(-1), nn.functional.normalize(self.directions, dim=1))
