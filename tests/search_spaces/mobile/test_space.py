from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nas.dataspec import DataSpec
from nas.errors import SpaceError
from nas.searchable import apply_partial_channels
from nas.space import sample, size
from search_spaces.blocks import ShuffleUnit
from search_spaces.mobile import MobileSpace

DATA = DataSpec((3, 32, 32), "classes", 10)
LARGE: dict[str, Any] = {  # the stages of MobileNetV2, by multiples of its stem
    "widths": (0.5, 0.75, 1, 2, 3, 5, 10),
    "depths": (1, 2, 3, 4, 3, 3, 1),
    "strides": (1, 2, 2, 2, 1, 2, 1),
    "stem_stride": 2,
}


def test_every_kernel_goes_with_every_expansion_and_identity_with_one_shape() -> None:
    space = MobileSpace(DATA)
    counts = [len(decision) for decision in space.decisions.values()]
    assert counts == [7, 7, 6, 7, 7, 6, 7]
    assert size(space) == 6**2 * 7**5
    first = space.decisions["layer1"].candidates
    assert first[:3] == ("mbconv_k3_e3", "mbconv_k3_e6", "mbconv_k5_e3")
    assert first[-1] == "identity"


def test_identity_is_there_only_if_it_fits_supernet_and_network() -> None:
    space = MobileSpace(DATA, 5, 4, last_channels=4)  # 5 channels are rounded up to 6
    assert [len(d) for d in space.decisions.values()] == [6, 7, 6, 7, 7, 6, 7]


def test_genotypes_have_a_text_that_reads_back() -> None:
    space, generator = MobileSpace(DATA), torch.Generator().manual_seed(0)
    for _ in range(20):
        genotype = sample(space, generator)
        assert space.parse(space.format(genotype)) == genotype
    assert space.parse("mobile:6010203")["layer1"] == "identity"


def test_large_images_end_in_seven_by_seven_features() -> None:
    space = MobileSpace(DataSpec((3, 224, 224), "classes", 1000), **LARGE)
    genotype = {name: d.candidates[1] for name, d in space.decisions.items()}
    with torch.device("meta"):
        net = space.network(genotype).eval()
        x = net.stem(torch.zeros(1, 3, 224, 224))
        for layer in net.layers:
            x = layer(x)
        assert x.shape == (1, 320, 7, 7)
        assert net(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_a_shuffle_unit_interleaves_what_passes_by_and_what_its_branch_gives() -> None:
    unit = ShuffleUnit(6, 6, 3, 2).double().eval()
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    scale = (1 + 1e-5) ** -0.5  # of a fresh batch normalization in evaluation
    widen, depthwise, narrow = (unit.branch.get_submodule(f"{n}.conv").weight for n in PARTS)
    y = F.conv2d(x[:, 3:], widen).relu() * scale
    y = F.conv2d(y, depthwise, padding=1, groups=6) * scale
    y = F.conv2d(y, narrow).relu() * scale
    found = unit(x)
    torch.testing.assert_close(found[:, 0::2], x[:, :3])
    torch.testing.assert_close(found[:, 1::2], y)
    assert ShuffleUnit(6, 10, 5, 1, 2)(torch.zeros(2, 6, 7, 7)).shape == (2, 10, 4, 4)


PARTS = ("widen", "depthwise", "narrow")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": 0}, "space.channels must be at least 1, got 0"),
        ({"widths": [0, 1, 2]}, "space.widths must be more than 0, got 0, 1, 2"),
        ({"kernels": []}, "space.kernels must be at least 1, got none"),
        ({"kernels": [3, 4]}, "space.kernels must be odd to keep sizes, got 3, 4"),
        ({"depths": [2, 3]}, "one number for each stage, got 3, 2 and 3"),
        ({"strides": [1, 2, 3]}, "must be 1 or 2, got 1, 1, 2, 3"),
        ({"block": "shufle"}, "inverted_residual, shuffle, got 'shufle'; did you mean 'shuffle'"),
    ],
)
def test_settings_that_make_no_network_are_told(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        MobileSpace(DATA, **arguments)


def test_a_shuffle_unit_of_odd_channels_is_refused() -> None:
    with pytest.raises(SpaceError, match="even number of channels, got 5"):
        ShuffleUnit(4, 5, 3, 1)


def test_partial_channels_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"set strategy.partial_channels=null"):
        apply_partial_channels(MobileSpace(DATA, 4, 4).supernet(), 2)
