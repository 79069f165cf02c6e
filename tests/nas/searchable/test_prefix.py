from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import Weights, from_genotype
from nas.decision import Decision
from nas.errors import SpaceError
from nas.searchable import Prefix
from nas.searchable.prefix import FixedMask
from nas.supernet import Supernet


@given(st.data())
def test_a_feature_is_scaled_by_the_weights_of_the_sizes_that_hold_it(data: st.DataObject) -> None:
    numbers = sorted(data.draw(st.sets(st.integers(0, 6), min_size=1, max_size=4)) | {6})
    groups = data.draw(st.integers(1, 3))
    seed = data.draw(st.integers(0, 99))
    decision = Decision("width", tuple(numbers), kind="nested", groups=groups)
    generator = torch.Generator().manual_seed(seed)
    w = torch.rand(groups, len(numbers), generator=generator).double().softmax(-1)
    x = torch.randn(2, 6 * groups, 3, generator=generator).double()
    arch = {"width": Weights(w, tuple(range(len(numbers))))}
    found = Supernet(Prefix(6 * groups, decision))(x, arch)
    for c in range(6 * groups):
        group, place = divmod(c, 6)
        share = sum(w[group, i].item() for i, size in enumerate(numbers) if size > place)
        torch.testing.assert_close(found[:, c], share * x[:, c])


@pytest.mark.parametrize("size", [0, 2, 5, 8])
@pytest.mark.parametrize("dims", [0, 1, 2])
def test_one_hot_weights_keep_exactly_the_first_features(size: int, dims: int) -> None:
    decision = Decision("width", (0, 2, 5, 8), kind="nested")
    x = torch.randn(3, 8, *([4] * dims))
    net = Supernet(Prefix(8, decision))
    arch = from_genotype({"width": decision}, {"width": size})
    found = net(x, arch)
    assert torch.equal(found[:, :size], x[:, :size])
    assert (found[:, size:] == 0).all()
    plain = net.freeze(arch)
    assert isinstance(plain, FixedMask)
    assert torch.equal(plain(x), found)


def test_groups_choose_for_their_own_block() -> None:
    decision = Decision("width", (1, 2), kind="nested", groups=3)
    arch = from_genotype({"width": decision}, {"width": (1, 2, 1)})
    found = Supernet(Prefix(6, decision))(torch.ones(1, 6), arch)
    assert found.tolist() == [[1, 0, 1, 1, 1, 0]]


def test_the_mask_is_no_part_of_a_checkpoint_of_the_supernet() -> None:
    decision = Decision("width", (1, 2), kind="nested")
    assert list(Prefix(2, decision).state_dict()) == []
    plain = Supernet(Prefix(2, decision)).freeze(from_genotype({"width": decision}, {"width": 1}))
    assert list(plain.state_dict()) == ["mask"]


def test_a_mixture_cannot_be_frozen() -> None:
    decision = Decision("width", (1, 2), kind="nested")
    with pytest.raises(ValueError, match="'width': freezing needs one-hot weights"):
        Supernet(Prefix(2, decision)).freeze({"width": Weights(torch.full((1, 2), 0.5), (0, 1))})


@pytest.mark.parametrize(
    "settings",
    [
        {"candidates": (2, 4)},
        {"candidates": (4, 2, 8), "kind": "nested"},
        {"candidates": (2, 4), "kind": "nested"},
        {"candidates": (2, 16), "kind": "nested"},
        {"candidates": (-1, 8), "kind": "nested"},
        {"candidates": (0.5, 8), "kind": "nested"},
        {"candidates": ("8",), "kind": "nested"},
        {"candidates": (1, 2), "kind": "nested", "groups": 3},
    ],
)
def test_sizes_that_are_not_nested_numbers_up_to_all_features_are_refused(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(SpaceError, match="'width': needs nested, increasing sizes that end in"):
        Prefix(8, Decision("width", **settings))
