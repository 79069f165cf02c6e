"""The space contract: good spaces pass it, every fault is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from nas.dataspec import DataSpec, Kind
from nas.decision import Decision, Genotype
from nas.searchable import MixedOp
from nas.space import SearchSpace, name_of
from nas.testing import check_space, checks_of_space, toys
from search_spaces.chain import ChainSpace
from search_spaces.darts import DartsSpace
from search_spaces.macro_chain import MacroChainSpace
from search_spaces.mobile import MobileSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.toy import ToySpace
from tests.contracts import broken_spaces as broken

IMAGES = DataSpec((3, 8, 8), "classes", 5)
SMALL = {"channels": 4, "cells": 3, "network_channels": 4, "network_cells": 3}
TINY = {"channels": 2, "cells": 1, "network_channels": 2, "network_cells": 1}
STAGES = {"widths": (1.0, 1.5), "depths": (2, 1), "strides": (2, 1), "kernels": (3, 5)}


class PerPosition:
    """One decision, an output for every position of an image."""

    def __init__(self, kind: Kind) -> None:
        self.data = DataSpec((2, 6, 5), kind, 3)

    def supernet(self) -> nn.Module:
        return MixedOp(Decision("kernel", (1, 3)), self._conv)

    def network(self, genotype: Genotype) -> nn.Module:
        return self._conv(int(str(genotype["kernel"])))

    @staticmethod
    def _conv(kernel: int) -> nn.Module:
        return nn.Conv2d(2, 3, kernel, padding=kernel // 2)


GOOD: dict[str, Callable[[], SearchSpace]] = {
    **{name: lambda space=space: space for name, space in toys.every().items()},
    "dense": lambda: PerPosition("dense"),
    "image": lambda: PerPosition("image"),
    "darts": lambda: DartsSpace(IMAGES, nodes=1, **SMALL),
    "darts-countable": lambda: DartsSpace(
        IMAGES, nodes=1, operations=("none", "skip_connect", "sep_conv_3x3"), **SMALL
    ),
    "darts-1d": lambda: DartsSpace(
        DataSpec((2, 16), "multi-label", 3),
        nodes=1,
        operations=("max_pool_3x3", "skip_connect", "dil_conv_3x3"),
        **SMALL,
    ),
    "darts-dense": lambda: DartsSpace(
        DataSpec((1, 9, 7), "dense", 3),
        nodes=1,
        operations=("none", "skip_connect", "sep_conv_3x3"),
        **SMALL,
    ),
    "darts-image-1d": lambda: DartsSpace(
        DataSpec((2, 13), "image", 1), nodes=1, operations=("avg_pool_3x3", "dil_conv_3x3"), **SMALL
    ),
    "darts-s1": lambda: DartsSpace(
        IMAGES,
        nodes=1,
        operations=("skip_connect", "sep_conv_3x3"),
        edge_operations={"normal/0->2": ("none", "max_pool_3x3", "dil_conv_3x3")},
        **SMALL,
    ),
    "darts-s4": lambda: DartsSpace(IMAGES, nodes=1, operations=("noise", "sep_conv_3x3"), **SMALL),
    "chain": lambda: ChainSpace(IMAGES, channels=4, network_channels=4),
    "chain-1d-image": lambda: ChainSpace(DataSpec((2, 13), "image", 1), 2, 4),
    "macro_chain": lambda: MacroChainSpace(IMAGES, 2, 2, 4),
    "macro_chain-1d-dense": lambda: MacroChainSpace(DataSpec((2, 13), "dense", 3), 2, 4, 4),
    "mobile": lambda: MobileSpace(IMAGES, 2, 2, last_channels=4, **STAGES),
    "mobile-1d-shuffle": lambda: MobileSpace(
        DataSpec((2, 16), "multi-label", 3), 2, 4, block="shuffle", last_channels=4, **STAGES
    ),
    "toy": ToySpace,
    "nasbench201": lambda: NasBench201Space(IMAGES, **TINY),
    "nasbench201-dense": lambda: NasBench201Space(DataSpec((1, 7), "dense", 3), **TINY),
    "nasbench201-countable": lambda: NasBench201Space(
        DataSpec((2, 9), "multi-label", 3), operations=("none", "nor_conv_3x3"), **TINY
    ),
}


# Others of the same space, and of the same kind of data on another space, stay fast.
SLOW = {"darts-image-1d", "macro_chain-1d-dense", "nasbench201-dense"}


@pytest.mark.parametrize(
    "make", [pytest.param(GOOD[n], id=n, marks=[pytest.mark.slow] * (n in SLOW)) for n in GOOD]
)
def test_good_spaces_pass(make: Callable[[], SearchSpace]) -> None:
    space = make()
    others = [*toys.every().values(), DartsSpace(IMAGES, nodes=3, **SMALL)]
    check_space(space, others=[other for other in others if name_of(other) != name_of(space)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: DartsSpace(IMAGES, nodes=2, **SMALL),
        lambda: DartsSpace(IMAGES, **SMALL),
        lambda: MobileSpace(IMAGES, 2, 2, last_channels=4),
    ],
    ids=["darts of two nodes", "darts", "mobile"],
)
def test_spaces_of_full_depth_pass(make: Callable[[], SearchSpace]) -> None:
    check_space(make())


BROKEN: dict[str, tuple[Callable[[], SearchSpace], str]] = {
    "no decision": (broken.empty, "no decision|holds no Slot"),
    "decisions that change": (broken.changing_decisions, "change from call to call"),
    "frozen to another operation": (
        lambda: broken.of_mixed(broken.FirstOnly),
        "supernet under one-hot weights and its frozen network differ",
    ),
    "frozen without a copy": (lambda: broken.of_mixed(broken.Lends), "shares weights"),
    "frozen with a slot": (lambda: broken.of_mixed(broken.Keeps), "still holds a slot"),
    "a slot nobody reads": (broken.unread, "'forgotten'"),
    "weights outside the graph": (
        lambda: broken.of_mixed(broken.Detached),
        "'left' never gets a gradient",
    ),
    "a dead group": (
        lambda: broken.of_prefix(broken.FirstGroup),
        r"'width' never gets a gradient.*group \[1\]|differ by",
    ),
    "wrong nesting": (
        lambda: broken.of_prefix(broken.NotNested),
        r"network\(genotype\) with its weights differ",
    ),
    "one value needed, but soft": (broken.not_soft, "soft=False"),
    "a network with a slot": (broken.leaves_slots, "leaves a slot"),
    "a network of another genotype": (
        broken.ignores_genotype,
        r"network\(genotype\) with its weights differ",
    ),
    "a network with too many outputs": (broken.too_many_outputs, "must have the shape"),
    "an output of another size": (
        broken.wrong_positions,
        r"output must have the shape \(4, 3, 6, 5\), got \(4, 3, 6, 6\)",
    ),
    "wrong size": (broken.wrong_size, r"size\(\) says 15, but there are 16"),
    "wrong derivation": (broken.derives_the_worst, "derive another genotype"),
    "a candidate the blueprint gets wrong": (
        broken.cheap_blueprint,
        "cost 'params' says .* where the built network has",
    ),
    "another result when fused": (
        broken.TwoForms,
        "run fused differs from plain modules while training by .* in its output",
    ),
    "a network that cannot be exported": (broken.reads_values, "exporting the network of"),
    "noise that the supernet does not have": (
        broken.another_noise,
        "supernet under one-hot weights and its frozen network differ",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_faults_are_found(make: Callable[[], SearchSpace], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_space(make())


def test_checks_are_named_one_by_one_until_one_fails() -> None:
    every = list(checks_of_space(toys.Plain()))
    assert len(set(every)) == len(every) == 11
    seen = []
    with pytest.raises(AssertionError, match=r"size\(\) says 15"):
        seen.extend(checks_of_space(broken.wrong_size()))
    assert seen == every[:4]
    assert "size()" in seen[-1]


def test_two_spaces_with_one_fingerprint_are_found() -> None:
    with pytest.raises(AssertionError, match="Plain and SameName share the fingerprint"):
        check_space(toys.Plain(), others=[toys.Edges(), broken.SameName()])


def test_data_default_to_images_in_the_classes_the_space_has() -> None:
    space = DartsSpace(IMAGES, nodes=1, operations=("skip_connect", "sep_conv_3x3"), **SMALL)
    space.data = None  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="DataSpec"):
        check_space(space)
