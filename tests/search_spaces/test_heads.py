from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.errors import SpaceError
from search_spaces.heads import check_output_size, head_of, per_position

SHAPES = [(3, 9, 7), (2, 33)]


def run(data: DataSpec, features: Tensor) -> tuple[nn.Sequential, Tensor]:
    head = nn.Sequential(*head_of(data, features.shape[1]))
    return head, head(features)


@pytest.mark.parametrize("kind", ["classes", "multi-label"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scores_are_a_linear_map_of_the_mean_over_positions(
    kind: Any, shape: tuple[int, ...]
) -> None:
    features = torch.randn(4, 6, *[3] * (len(shape) - 1))
    head, output = run(DataSpec(shape, kind, 5), features)
    expected = functional.linear(features.flatten(2).mean(-1), head[1].weight, head[1].bias)
    torch.testing.assert_close(output, expected)
    assert not per_position(DataSpec(shape, kind, 5))


def upsampled(x: Tensor, size: int, axis: int) -> Tensor:
    """Linear interpolation along one axis between centers of positions, by definition."""
    length = x.shape[axis]
    place = ((torch.arange(size, dtype=x.dtype) + 0.5) * length / size - 0.5).clamp(0, length - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(length - 1)
    share = (place - low).view([-1 if a == axis else 1 for a in range(x.dim())])
    return x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share


@pytest.mark.parametrize("kind", ["dense", "image"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_at_positions_are_interpolated_features_through_a_1x1_convolution(
    kind: Any, shape: tuple[int, ...]
) -> None:
    data = DataSpec(shape, kind, 5)
    features = torch.randn(4, 6, *[-(-size // 4) for size in data.size], dtype=torch.float64)
    head = nn.Sequential(*head_of(data, 6)).double()
    output = head(features)
    assert output.shape == (4, 5, *data.size)
    large = features
    for axis, size in enumerate(data.size, start=2):
        large = upsampled(large, size, axis)
    weight = head[1].weight.flatten(1)  # interpolated before it, where the head does so after
    expected = torch.einsum("oc,nc...->no...", weight, large)
    expected = expected + head[1].bias.view(1, -1, *[1] * data.dims)
    torch.testing.assert_close(output, expected)
    assert per_position(data)


def test_interpolation_counts_nothing() -> None:
    data = DataSpec((3, 8, 8), "image", 5)
    head = nn.Sequential(*head_of(data, 6))
    assert count_parameters(head) == 6 * 5 + 5
    assert count_macs(head, (6, 2, 2)) == 2 * 2 * 6 * 5


def test_another_output_size_is_refused_where_a_space_keeps_it() -> None:
    check_output_size("toy", DataSpec((3, 8, 8), "image", 5))
    check_output_size("toy", DataSpec((3, 8, 8), "classes", 5))
    with pytest.raises(SpaceError, match=r"space toy .* size 8, the data has 16; choose a space"):
        check_output_size("toy", DataSpec((3, 8), "image", 5, output_size=(16,)))
