"""Search spaces with one fault each, for the contract to find."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.dataspec import DataSpec
from nas.decision import Choice, Decision, Genotype
from nas.searchable import MixedOp, Prefix
from nas.searchable.fusable import ReLUConvBN
from nas.searchable.prefix import FixedMask
from nas.space import SearchSpace
from nas.supernet import Slot
from nas.testing.toy_parts import CHANNELS, Branches, MeanOfBlocks, read
from nas.testing.toys import PLACES, Hard, Nested, Plain


class Altered:
    """A good space of which a fault replaces some attributes."""

    def __init__(self, space: SearchSpace, **faults: object) -> None:
        self._space = space
        self.__dict__.update(faults)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._space, name)


def branches(*parts: nn.Module) -> nn.Module:
    return Branches(parts, 4)


def left_and_right(kind: type[MixedOp] = MixedOp) -> list[MixedOp]:
    space = Plain()
    return [kind(Decision(n, PLACES), space._read, channels=CHANNELS) for n in ("left", "right")]


def empty() -> SearchSpace:
    """No slot anywhere."""
    net = Plain().network({"left": 0, "right": 0})
    return Altered(Plain(), supernet=lambda: net)


class FirstOnly(MixedOp):
    """Freezes to its first operation, whatever was chosen."""

    def freeze(self) -> nn.Module:
        self.slot()
        return copy.deepcopy(next(iter(self.ops.values())))


class Lends(MixedOp):
    """Freezes to the operation itself instead of a copy."""

    def freeze(self) -> nn.Module:
        return list(self.ops.values())[self.slot().index]


class Keeps(MixedOp):
    """Freezes to itself: the slot stays."""

    def freeze(self) -> nn.Module:
        return self


def of_mixed(kind: type[MixedOp]) -> SearchSpace:
    return Altered(Plain(), supernet=lambda: branches(*left_and_right(kind)))


class Unread(nn.Module):
    """Has a slot that its forward does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = left_and_right()[1]
        self.slot = Slot(Decision("forgotten", (1, 2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def freeze(self) -> nn.Module:
        return self.inner.freeze()


def unread() -> SearchSpace:
    return Altered(
        Plain(),
        supernet=lambda: branches(left_and_right()[0], Unread()),
        network=lambda g: Plain().network(g),
    )


class Detached(MixedOp):
    """Mixes with weights that are outside the graph."""

    def forward(self, x: Tensor) -> Tensor:
        return self.slot().detach().mix(list(self.ops.values()), x)


class FirstGroup(Prefix):
    """Reads the first group's weights for all groups: the other groups have no effect."""

    def _mask(self, x: Tensor) -> Tensor:
        weights = self.slot()
        gates = weights.gates()[:1].expand_as(weights.values)[:, self.level].reshape(-1)
        return gates.view(1, -1, *([1] * (x.dim() - 2)))


class NotNested(Prefix):
    """A level's features get its own weight alone: larger sizes drop the smaller ones' part."""

    def _mask(self, x: Tensor) -> Tensor:
        weights = self.slot()
        own = weights.values[:, self.level].reshape(-1)
        return own.view(1, -1, *([1] * (x.dim() - 2)))

    def freeze(self) -> nn.Module:
        return FixedMask(self.slot().values[:, self.level].reshape(-1))


def of_prefix(kind: type[Prefix]) -> SearchSpace:
    width = Decision("width", (1, 2, 4), kind="nested", groups=2)
    return Altered(Nested(), supernet=lambda: MeanOfBlocks(kind(8, width)))


class ManyPlaces(nn.Module):
    """Freezes well, but reads one place at a time while its decision claims to be soft."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.slot = Slot(decision)
        self.ops = nn.ModuleList(read(place, CHANNELS, 2) for place in PLACES)

    def forward(self, x: Tensor) -> Tensor:
        return self.ops[self.slot().index](x)

    def freeze(self) -> nn.Module:
        return copy.deepcopy(self.ops[self.slot().index])


def not_soft() -> SearchSpace:
    return Altered(
        Plain(),
        supernet=lambda: branches(left_and_right()[0], ManyPlaces(Decision("right", PLACES))),
    )


def leaves_slots() -> SearchSpace:
    return Altered(Plain(), network=lambda genotype: Plain().supernet())


def ignores_genotype() -> SearchSpace:
    return Altered(Hard(), network=lambda genotype: Hard().network({"pool": "after"}))


def too_many_outputs() -> SearchSpace:
    parts = lambda g: [Plain()._read(g[n], CHANNELS) for n in ("left", "right")]  # noqa: E731
    return Altered(Plain(), network=lambda genotype: Branches(parts(genotype), 5))


class WrongPositions:
    """An image out that is a column wider than the data's."""

    def __init__(self) -> None:
        self.data = DataSpec((2, 6, 5), "image", 3)

    def supernet(self) -> nn.Module:
        return MixedOp(Decision("kernel", (1, 3)), self._conv)

    def network(self, genotype: Genotype) -> nn.Module:
        return nn.Sequential(self._conv(int(str(genotype["kernel"]))), nn.ZeroPad2d((0, 1, 0, 0)))

    @staticmethod
    def _conv(kernel: int) -> nn.Module:
        return nn.Conv2d(2, 3, kernel, padding=kernel // 2)


def wrong_positions() -> SearchSpace:
    return WrongPositions()


def wrong_size() -> SearchSpace:
    return Altered(Plain(), size=lambda: 15)


def derives_the_worst() -> SearchSpace:
    def discretize(arch: Arch) -> dict[str, Choice]:
        return {n: PLACES[int(arch[n].row.argmin())] for n in ("left", "right")}

    return Altered(Plain(), discretize=discretize)


def cheap_blueprint() -> SearchSpace:
    """A blueprint in which odd places cost as little as even ones."""

    def blueprint() -> nn.Module:
        make = lambda place, channels: read(2 * (place // 2), channels, 2)  # noqa: E731
        names = ("left", "right")
        return branches(*(MixedOp(Decision(n, PLACES), make, channels=CHANNELS) for n in names))

    return Altered(Plain(), blueprint=blueprint)


def changing_decisions() -> SearchSpace:
    class Changing:
        calls = 0

        @property
        def decisions(self) -> Mapping[str, Decision]:
            Changing.calls += 1
            return {"a": Decision("a", tuple(range(1 + Changing.calls)))}

        def supernet(self) -> nn.Module:
            return Plain().supernet()

        def network(self, genotype: Genotype) -> nn.Module:
            return Plain().network(genotype)

    return Changing()


class SameName:
    """Another space, with other networks, under the name and the decisions of ``Plain``."""

    name = "toy-plain"

    def supernet(self) -> nn.Module:
        torch.manual_seed(0)
        return branches(*left_and_right(), nn.Identity())

    def network(self, genotype: Genotype) -> nn.Module:
        return nn.Identity()


class Doubled(ReLUConvBN):
    """Computes twice what its leaves do, unless it runs fused."""

    def plain(self, x: Tensor) -> Tensor:
        return 2 * super().plain(x)


class TwoForms:
    """Ends in a module that computes something else when it runs fused."""

    def __init__(self) -> None:
        self.data = DataSpec((2, 6, 5), "image", 3)

    def supernet(self) -> nn.Module:
        return self._ended(MixedOp(Decision("kernel", (1, 3)), self._conv))

    def network(self, genotype: Genotype) -> nn.Module:
        return self._ended(self._conv(int(str(genotype["kernel"]))))

    @staticmethod
    def _ended(first: nn.Module) -> nn.Module:
        return nn.Sequential(first, Doubled(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))

    @staticmethod
    def _conv(kernel: int) -> nn.Module:
        return nn.Conv2d(2, 3, kernel, padding=kernel // 2)


class ReadsValues(nn.Module):
    """Does one thing or another by the numbers that come in."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y if float(x.sum()) > 0 else -y


def reads_values() -> SearchSpace:
    return Altered(Plain(), network=lambda genotype: ReadsValues(Plain().network(genotype)))


class OtherNoise(MixedOp):
    """Freezes to its operation and noise of its own."""

    def freeze(self) -> nn.Module:
        return nn.Sequential(super().freeze(), AddsNoise())


class AddsNoise(nn.Module):
    """Adds noise, which the supernet does not."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def another_noise() -> SearchSpace:
    return of_mixed(OtherNoise)
