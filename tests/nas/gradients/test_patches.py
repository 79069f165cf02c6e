"""Patches of convolutions and rows of linear layers against a full unfold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import ConfigError
from nas.gradients.layers import Layer, layers_of
from nas.gradients.patches import AXES, Draw, draw
from nas.kernels import Normalization
from nas.searchable.watch import Reading


def layer(module: nn.Module) -> Layer:
    (found,) = layers_of(nn.Sequential(module.double()))
    return found


def places(count: int = 12) -> Draw:
    numbers = torch.rand(count, AXES, generator=torch.Generator().manual_seed(3))
    return Draw(numbers)


def inputs(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


CONVOLUTIONS: list[dict[str, Any]] = [
    {"kernel_size": 1},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 4},
    {"kernel_size": 5, "padding": 2, "stride": 2, "groups": 2},
    {"kernel_size": (1, 3), "padding": (0, 1), "stride": (1, 2)},
    {"kernel_size": 4, "padding": "same", "dilation": 2},
    {"kernel_size": 3, "padding": "valid"},
]


@pytest.mark.parametrize("how", CONVOLUTIONS)
def test_the_weight_times_the_columns_is_the_output_at_the_places(how: dict[str, Any]) -> None:
    conv = nn.Conv2d(4, 8, bias=False, **how).double()
    x, given, where = inputs(3, 4, 9, 7), layer(conv), places()
    columns = where.columns(given, Reading(x))
    assert columns.shape == (given.blocks, given.size, 12)
    found = given.matrices(given.weight) @ columns  # (blocks, out / blocks, r)
    y = conv(x)
    picked = [(where.numbers[:, i] * size).long() for i, size in enumerate((3, *y.shape[2:]))]
    expected = y[picked[0], :, picked[1], picked[2]]  # (r, out)
    torch.testing.assert_close(found.flatten(0, 1).T, expected)


def test_sequences_and_linear_layers() -> None:
    conv = nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2, bias=False).double()
    x, given, where = inputs(3, 4, 11), layer(conv), places()
    found = (given.matrices(given.weight) @ where.columns(given, Reading(x))).flatten(0, 1).T
    y = conv(x)
    rows, at = ((where.numbers[:, i] * size).long() for i, size in enumerate((3, y.shape[2])))
    torch.testing.assert_close(found, y[rows, :, at])
    linear = layer(nn.Linear(5, 2, bias=False))
    x = inputs(2, 7, 5)
    columns = where.columns(linear, Reading(x))[0].T
    known = x.reshape(-1, 5)
    assert all(any(torch.equal(row, other) for other in known) for row in columns)


def test_what_kernels_did_not_compute_is_computed_at_the_places() -> None:
    z, mean, rstd = inputs(3, 4, 6, 6), inputs(4), inputs(4).abs()
    norm = Normalization(mean, rstd, False)
    shape = (1, 4, 1, 1)
    a = F.relu((z - mean.view(shape)) * rstd.view(shape))
    depthwise = nn.Conv2d(4, 4, 3, 2, 1, groups=4, bias=False).double()
    pointwise = nn.Conv2d(4, 5, 1, bias=False).double()
    first, second, where = layer(depthwise), layer(pointwise), places()
    torch.testing.assert_close(
        where.columns(first, Reading(z, norm, relu=True)), where.columns(first, Reading(a))
    )
    passed = where.columns(second, Reading(z, norm, relu=True, through=depthwise))
    torch.testing.assert_close(passed, where.columns(second, Reading(depthwise(a))))
    strided = layer(nn.Conv2d(4, 5, 1, 2, bias=False))
    expected = where.columns(strided, Reading(a))
    cut = Reading(z[..., ::2, ::2], norm, relu=True, subsampled=True)
    torch.testing.assert_close(where.columns(strided, cut), expected)


def test_places_are_drawn_evenly_from_the_given_generator() -> None:
    found = [draw(4, torch.Generator().manual_seed(0), torch.device("cpu")) for _ in range(2)]
    assert torch.equal(found[0].numbers, found[1].numbers)
    conv = layer(nn.Conv2d(1, 1, 1, bias=False))
    x = torch.arange(6, dtype=torch.float64).view(2, 1, 1, 3)
    columns = draw(6000, torch.Generator().manual_seed(0), torch.device("cpu"))
    counts = columns.columns(conv, Reading(x)).flatten().long().bincount(minlength=6)
    assert counts.min() > 880  # 1000 each, standard deviation 29


def test_other_paddings_are_refused_by_name() -> None:
    conv = nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")
    with pytest.raises(ConfigError, match=r"0 pads with 'reflect'.*use padding_mode='zeros'"):
        layers_of(nn.Sequential(conv))
