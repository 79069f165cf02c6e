"""Small spaces whose best genotype is known, because their data were made for it.

Each has ``data`` (a DataSpec), ``best`` (the genotype that the data were made for) and
``batch(count, generator)``. A search takes seconds on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Protocol

import torch
from torch import nn

from nas.arch import Arch, Weights
from nas.batch import Batch
from nas.dataspec import DataSpec
from nas.decision import Candidate, Choice, Decision, Genotype
from nas.searchable import MixedOp, Node, Prefix
from nas.searchable.node import SumOfEdges
from nas.testing.toy_parts import (
    CHANNELS,
    Branches,
    Leading,
    MeanOfBlocks,
    PoolAt,
    PooledAt,
    SumOfBlocks,
    UnitHead,
    read,
    signs_and_classes,
)

PLACES = (0, 1, 2, 3)


class Planted(Protocol):
    """A search space together with the data that one genotype is best for."""

    @property
    def data(self) -> DataSpec:
        """What the space is for."""
        ...

    @property
    def best(self) -> Genotype:
        """The genotype that the data were made for."""
        ...

    def supernet(self) -> nn.Module:
        """A network whose slots read the decisions of this space."""
        ...

    def network(self, genotype: Genotype) -> nn.Module:
        """The network of one genotype."""
        ...

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Fresh inputs (count, C, ...) and classes (count,)."""
        ...


class Plain:
    """Two plain decisions: at which place to read the left and the right half of the channels.

    Of each half, one place tells one bit of the class; all other places are noise.

    Args:
        dims: 1 for sequences (8, 4), 2 for images (8, 2, 4).
    """

    name = "toy-plain"

    def __init__(self, dims: int = 2) -> None:
        self.data = DataSpec((2 * CHANNELS, *(2,) * (dims - 1), len(PLACES)), "classes", 4)
        self.best: Genotype = {"left": 2, "right": 1}

    def supernet(self) -> nn.Module:
        """Both decisions open."""
        return Branches(
            [MixedOp(Decision(n, PLACES), self._read, channels=CHANNELS) for n in self.best], 4
        )

    def network(self, genotype: Genotype) -> nn.Module:
        """One place read in each half."""
        return Branches([self._read(_one(genotype[n]), CHANNELS) for n in self.best], 4)

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Noise everywhere, a sign in all channels of a half at its place."""
        x = torch.randn(count, *self.data.input_shape, generator=generator)
        signs, classes = signs_and_classes(count, generator)
        for half, place in enumerate(self.best.values()):
            block = x[:, half * CHANNELS : (half + 1) * CHANNELS]
            block[..., int(_one(place))] += signs[:, half].view(-1, *[1] * (block.dim() - 2))
        return Batch(x, classes)

    def _read(self, place: Candidate, channels: int) -> nn.Module:
        return read(place, channels, self.data.dims)


class Edges:
    """A node that keeps two of three inputs, and at which place to read each: the shape of a cell.

    Inputs 0 and 2 tell one bit each, at one place each; input 1 is noise.
    """

    name = "toy-edges"

    def __init__(self) -> None:
        self.data = DataSpec((3 * CHANNELS, len(PLACES)), "classes", 4)
        self.best: Genotype = {"edge0": 1, "edge2": 2, "inputs": (0, 2)}
        self._inputs = Decision("inputs", (0, 1, 2), pick=2)
        self._edges = [Decision(f"edge{i}", PLACES) for i in range(3)]
        self.decisions = {d.name: d for d in (*self._edges, self._inputs)}

    def supernet(self) -> nn.Module:
        """All three edges open; the weights of the inputs are optional, as in DARTS."""
        edges = [MixedOp(d, self._read, channels=CHANNELS) for d in self._edges]
        return SumOfBlocks(Node(edges, self._inputs))

    def network(self, genotype: Genotype) -> nn.Module:
        """The sum of the two edges kept."""
        kept = _several(genotype["inputs"])
        edges = [self._read(_one(genotype[f"edge{i}"]), CHANNELS) for i in kept]
        return SumOfBlocks(SumOfEdges(edges, [int(i) for i in kept]))

    def active(self, choices: Genotype) -> Set[str]:
        """The inputs, and the edges from them."""
        return {"inputs", *(f"edge{i}" for i in _several(choices["inputs"]))}

    def size(self) -> int:
        """Three pairs of inputs, four places on each."""
        return 3 * len(PLACES) ** 2

    def discretize(self, arch: Arch) -> dict[str, Choice]:
        """The two inputs with the largest product of edge weight and best operation's weight."""
        weights = {name: given for name, given in arch.items() if isinstance(given, Weights)}
        best = {i: weights[f"edge{i}"].row for i in range(3) if f"edge{i}" in weights}
        share = weights["inputs"].row if "inputs" in weights else torch.ones(3)
        order = sorted(best, key=lambda i: -float(best[i].max() * share[i]))
        kept = tuple(sorted(order[:2]))
        return {"inputs": kept, **{f"edge{i}": PLACES[int(best[i].argmax())] for i in kept}}

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Noise everywhere, a sign in all channels of blocks 0 and 2 at their places."""
        x = torch.randn(count, *self.data.input_shape, generator=generator)
        signs, classes = signs_and_classes(count, generator)
        for bit, block in enumerate((0, 2)):
            place = int(_one(self.best[f"edge{block}"]))
            part = x[:, block * CHANNELS : (block + 1) * CHANNELS]
            part[..., place] += 2 * signs[:, bit, None]
        return Batch(x, classes)

    @staticmethod
    def _read(place: Candidate, channels: int) -> nn.Module:
        return read(place, channels, dims=1)


class Nested:
    """One nested decision in two groups: how many leading features of each half to average.

    The first two features of the left half tell one bit and the others are loud noise; all four of
    the right half tell the other bit.
    """

    name = "toy-nested"

    def __init__(self) -> None:
        self.data = DataSpec((8, 2), "classes", 4)
        self.best: Genotype = {"width": (2, 4)}
        self._width = Decision("width", (1, 2, 4), kind="nested", groups=2)

    def supernet(self) -> nn.Module:
        """Gates over the features of each half."""
        return MeanOfBlocks(Prefix(8, self._width))

    def network(self, genotype: Genotype) -> nn.Module:
        """The leading features alone."""
        return MeanOfBlocks(Leading([int(s) for s in _several(genotype["width"])], 4))

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Features with a sign and noise each; the last two of the left half are noise alone."""
        x = torch.randn(count, *self.data.input_shape, generator=generator)
        signs, classes = signs_and_classes(count, generator)
        x[:, :2] += signs[:, 0, None, None]
        x[:, 2:4] *= 4
        x[:, 4:] += signs[:, 1, None, None]
        return Batch(x, classes)


class Hard:
    """One hard decision: whether to halve a sequence before or after it is rectified.

    The class is whether an alternating pattern is there, which pooling first would take away.
    """

    name = "toy-hard"

    def __init__(self) -> None:
        self.data = DataSpec((CHANNELS, 8), "classes", 2)
        self.best: Genotype = {"pool": "after"}

    def supernet(self) -> nn.Module:
        """The place open."""
        place = Decision("pool", ("before", "after"), soft=False)
        return nn.Sequential(PoolAt(place), UnitHead(CHANNELS, 2))

    def network(self, genotype: Genotype) -> nn.Module:
        """The place fixed."""
        return nn.Sequential(PooledAt(str(genotype["pool"])), UnitHead(CHANNELS, 2))

    def batch(self, count: int, generator: torch.Generator) -> Batch:
        """Noise, and for class 1 the pattern + - + - ... of random sign."""
        x = torch.randn(count, *self.data.input_shape, generator=generator)
        classes = torch.randint(2, (count,), generator=generator)
        sign = 2.0 * torch.randint(2, (count,), generator=generator) - 1.0
        pattern = torch.tensor([1.0, -1.0]).repeat(4)
        return Batch(x + 2 * (classes * sign)[:, None, None] * pattern, classes)


def every() -> Mapping[str, Planted]:
    """All toy spaces by name."""
    return {
        "plain": Plain(),
        "plain-1d": Plain(dims=1),
        "edges": Edges(),
        "nested": Nested(),
        "hard": Hard(),
    }


def _one(choice: Choice) -> Candidate:
    assert not isinstance(choice, tuple)
    return choice


def _several(choice: Choice) -> tuple[Candidate, ...]:
    assert isinstance(choice, tuple)
    return choice
