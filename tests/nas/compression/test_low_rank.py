"""Layers as two of lower rank: exactness, nearest weights, break-even ranks, counts, refusals."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.compression.forms import FORMS, Factorized, form_of, sizes_of
from nas.compression.low_rank import (
    break_even,
    factorized,
    full_rank,
    macs,
    rank_by_energy,
    skeleton,
    with_ranks,
    worth,
)
from nas.costs import count_macs, count_parameters
from nas.errors import SpaceError

GENERATOR = torch.Generator()


def conv2d(c_in: int, c_out: int, **settings: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(c_in, c_out, **settings).double()


def conv1d(c_in: int, c_out: int, **settings: Any) -> nn.Conv1d:
    torch.manual_seed(0)
    return nn.Conv1d(c_in, c_out, **settings).double()


def linear(c_in: int, c_out: int, **settings: Any) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(c_in, c_out, **settings).double()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR.manual_seed(1), dtype=torch.float64)


SQUARE: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": 3, "stride": 2, "bias": False},
    {"kernel_size": (3, 5), "padding": (1, 2), "stride": (1, 2)},
    {"kernel_size": (1, 7), "padding": (0, 3), "stride": (2, 1)},
    {"kernel_size": 3, "padding": 2, "dilation": 2, "stride": 2},
    {"kernel_size": 3, "padding": "same", "dilation": 2},
    {"kernel_size": 3, "padding": "valid"},
    {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": 5, "padding": 2, "padding_mode": "circular", "stride": 2},
    {"kernel_size": 1, "stride": 2},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("arguments", SQUARE, ids=str)
def test_a_convolution_is_exact_at_full_rank(form: str, arguments: dict[str, Any]) -> None:
    layer = conv2d(5, 7, **arguments)
    pair = factorized(layer, form, full_rank(layer, form))
    x = noise(2, 5, 9, 8)
    torch.testing.assert_close(pair(x), layer(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", ["channel", "spatial"])
@pytest.mark.parametrize("stride", [1, 2])
def test_so_are_one_dimensional_and_linear_layers(form: str, stride: int) -> None:
    one = conv1d(4, 6, kernel_size=5, padding=2, stride=stride)
    x = noise(2, 4, 11)
    torch.testing.assert_close(factorized(one, form, full_rank(one, form))(x), one(x))
    flat = linear(5, 3)
    x = noise(2, 7, 5)
    torch.testing.assert_close(factorized(flat, form, full_rank(flat, form))(x), flat(x))


def test_single_precision_is_exact_to_a_hundred_thousandth() -> None:
    layer = conv2d(32, 48, kernel_size=3, padding=1).float()
    x = noise(2, 32, 8, 8).float()
    for form in FORMS:
        torch.testing.assert_close(
            factorized(layer, form, full_rank(layer, form))(x), layer(x), rtol=1e-5, atol=1e-5
        )


def test_the_axes_keep_their_strides_and_paddings() -> None:
    layer = conv2d(5, 7, kernel_size=(3, 5), stride=(2, 3), padding=(1, 2), dilation=(1, 2))
    spatial = factorized(layer, "spatial", 4)
    assert (spatial.first.stride, spatial.second.stride) == ((2, 1), (1, 3))
    assert (spatial.first.padding, spatial.second.padding) == ((1, 0), (0, 2))
    assert spatial.first.bias is None
    torch.testing.assert_close(spatial.second.bias, layer.bias)
    assert factorized(layer, "channel", 4).first.stride == (2, 3)
    decoupled = factorized(layer, "decouple", 4)
    assert decoupled.second.stride == (2, 3)
    assert decoupled.second.groups == 7
    assert all(type(part) is nn.Conv2d for part in decoupled)


def composed(pair: Factorized) -> Tensor:
    """The weight of the pair, by what it makes of unit impulses: convolutions are linear."""
    first, second = pair.first, pair.second
    channels = first.weight.shape[1]
    kh, kw = (
        first.weight.shape[axis] + second.weight.shape[axis] - 1 for axis in (2, 3)
    )  # no padding, no stride
    size = (2 * kh - 1, 2 * kw - 1)
    impulses = torch.zeros(channels, channels, *size, dtype=torch.float64)
    impulses[range(channels), range(channels), kh - 1, kw - 1] = 1.0
    with torch.no_grad():
        answer: Tensor = pair(impulses)  # (C, N, kh, kw), flipped
    return answer.flip(-1, -2).transpose(0, 1)


@pytest.mark.parametrize(
    ("form", "matrices"),
    [
        ("channel", lambda w: [w.flatten(1)]),
        ("spatial", lambda w: [torch.cat([torch.cat(list(c), 1) for c in w.transpose(0, 1)])]),
        ("decouple", lambda w: [filter_.flatten(1) for filter_ in w]),
    ],
)
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_lower_rank_gives_the_nearest_weight(form: str, matrices: Any, rank: int) -> None:
    """Eckart-Young: the squared distance is that of the singular values left out."""
    layer = conv2d(5, 6, kernel_size=(3, 2), bias=False)
    found = composed(factorized(layer, form, rank))
    assert found.shape == layer.weight.shape
    with torch.no_grad():
        far = float((found - layer.weight).square().sum())
        left = sum(
            float(torch.linalg.svdvals(m)[rank:].square().sum()) for m in matrices(layer.weight)
        )
        assert all(int(torch.linalg.matrix_rank(m, rtol=1e-9)) <= rank for m in matrices(found))
    assert far == pytest.approx(left, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_matrix_is_taken_back_to_the_weight(form: str) -> None:
    weight = noise(6, 5, 3, 2)
    known = form_of(form)
    matrix = known.matrix(weight)
    assert matrix.shape[-2:] == known.matrix_size((6, 5, 3, 2))
    torch.testing.assert_close(known.weight(matrix, (6, 5, 3, 2)), weight)


def dense_macs(n: int, c: int, k: int, places: int) -> int:
    return n * c * k * k * places


@given(n=st.integers(2, 12), c=st.integers(1, 12), k=st.sampled_from([1, 3, 5]))
@settings(max_examples=15, deadline=None)
def test_break_even_is_where_weights_and_macs_meet(n: int, c: int, k: int) -> None:
    """The formulas of the published cost: one rank costs so much at each position, stride 1."""
    layer = nn.Conv2d(c, n, k, padding=k // 2, bias=False)
    per_rank = {
        "channel": c * k * k + n,
        "spatial": k * (c + n),
        "decouple": n * c + n * k * k,
    }
    for form, cost in per_rank.items():
        assert break_even(layer, form) == pytest.approx(n * c * k * k / cost)
        for rank in (1, full_rank(layer, form)):
            pair = skeleton(layer, form, rank)
            assert count_parameters(pair) == rank * cost
            assert (
                count_macs(pair, (c, 6, 7)) == macs(layer, form, rank, (6, 7)) == rank * cost * 42
            )
            below = rank <= break_even(layer, form)
            assert below == (macs(layer, form, rank, (6, 7)) <= dense_macs(n, c, k, 42))
            if 5 * rank * cost != 4 * n * c * k * k:  # a tie is a matter of rounding
                assert worth(rank, layer, form) == (5 * rank * cost < 4 * n * c * k * k)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("arguments", SQUARE[1:6], ids=str)
def test_macs_are_those_counted_at_any_stride(form: str, arguments: dict[str, Any]) -> None:
    layer = conv2d(5, 7, **arguments)
    pair = factorized(layer, form, 2).float()
    assert macs(layer, form, 2, (9, 8)) == count_macs(pair, (5, 9, 8))


def test_macs_of_one_dimensional_and_linear_layers() -> None:
    assert macs(linear(10, 6), "channel", 2) == 2 * (10 + 6)
    assert macs(conv1d(4, 6, kernel_size=3), "channel", 2, (10,)) == 2 * (4 * 3 + 6) * 8
    assert macs(conv1d(4, 6, kernel_size=3), "spatial", 2, (10,)) == 2 * (4 * 10 + 6 * 3 * 8)


@pytest.mark.parametrize(
    ("energy", "rank"), [(0.7, 1), (0.71, 2), (0.9, 2), (0.97, 3), (1.0, 4), (1e-9, 1)]
)
def test_energy_gives_the_smallest_rank_that_keeps_it(energy: float, rank: int) -> None:
    """The shares of (5, 3, 1, .5) are .709, .965, .993 and 1."""
    assert rank_by_energy(torch.tensor([5.0, 3.0, 1.0, 0.5]), energy) == rank


def test_of_several_matrices_the_largest_rank_counts() -> None:
    values = torch.tensor([[5.0, 3.0, 1.0, 0.5], [9.0, 0.1, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0]])
    assert rank_by_energy(values[:2], 0.9) == 2
    assert rank_by_energy(values, 0.9) == 4


def test_a_weight_of_zeros_keeps_one_rank() -> None:
    assert rank_by_energy(torch.zeros(4), 0.9) == 1
    layer = conv2d(2, 2, kernel_size=3)
    nn.init.zeros_(layer.weight)
    pair = factorized(layer, "channel", 1)
    torch.testing.assert_close(pair(noise(1, 2, 5, 5)), layer(noise(1, 2, 5, 5)))


def test_layers_of_a_network_are_replaced_by_name_and_rebuilt_from_their_ranks() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3)))
    fresh = copy.deepcopy(net)
    ranks = {"0": 2, "1.1": 3}
    small = with_ranks(net, "spatial", ranks).eval()
    assert [type(part) for part in small.modules()].count(Factorized) == 2
    again = with_ranks(fresh, "spatial", ranks).eval()
    again.load_state_dict(small.state_dict())
    x = torch.randn(2, 3, 9, 9, generator=GENERATOR.manual_seed(2))
    torch.testing.assert_close(again(x), small(x), rtol=0, atol=0)


def test_the_pair_keeps_device_type_and_mode() -> None:
    layer = nn.Conv2d(3, 4, 3, dtype=torch.bfloat16).eval()
    pair = factorized(layer, "channel", 2)
    assert {p.dtype for p in pair.parameters()} == {torch.bfloat16}
    assert not pair.training
    assert not pair.first.training
    with torch.device("meta"):
        away = nn.Conv2d(3, 4, 3)
    assert skeleton(away, "channel", 2).first.weight.device.type == "meta"


@pytest.mark.parametrize(
    ("layer", "form", "rank", "message"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "channel", 1, r"'stem\.conv' .* in 4 groups.*groups=1"),
        (nn.Conv2d(4, 8, 3, groups=2), "decouple", 1, r"'stem\.conv' .* in 2 groups.*groups=1"),
        (nn.Conv1d(4, 4, 3), "decouple", 1, r"'stem\.conv' is a Conv1d.*use form 'channel'"),
        (nn.Linear(4, 4), "decouple", 1, r"'stem\.conv' is a Linear.*use form 'channel'"),
        (nn.BatchNorm2d(4), "channel", 1, r"'stem\.conv' is a BatchNorm2d.*choose other layers"),
        (nn.Conv2d(4, 6, 3), "channel", 7, "ranks from 1 to 6 in form 'channel', got 7"),
        (nn.Conv2d(4, 6, 3), "channel", 0, "ranks from 1 to 6 in form 'channel', got 0"),
        (nn.Conv2d(4, 6, 3), "chanel", 1, "no form 'chanel'.*channel"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(
    layer: nn.Module, form: str, rank: int, message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        factorized(layer, form, rank, "stem.conv")


@pytest.mark.parametrize("energy", [0.0, 1.1, float("nan")])
def test_a_share_of_energy_lies_in_its_range(energy: float) -> None:
    with pytest.raises(SpaceError, match="above 0 and at most 1"):
        rank_by_energy(torch.ones(3), energy)


def test_an_input_needs_a_size_for_each_axis() -> None:
    with pytest.raises(SpaceError, match="runs along 2 axes, got an input of size"):
        macs(nn.Conv2d(3, 4, 3), "channel", 2, (8,))


def test_sizes_name_both_sides_of_a_kernel() -> None:
    assert sizes_of(nn.Conv2d(3, 4, (5, 2))) == (4, 3, 5, 2)
    assert sizes_of(nn.Conv1d(3, 4, 5)) == (4, 3, 1, 5)
    assert sizes_of(nn.Linear(3, 4)) == (4, 3, 1, 1)
