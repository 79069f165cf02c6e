from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import SpaceError
from search_spaces.ops import (
    OPERATIONS,
    AvgPool,
    FactorizedReduce,
    MaxPool,
    Zero,
    check_operation,
    operation,
    relu_conv_bn,
)

FLAT = [name for name in OPERATIONS if "x1_1x" not in name]  # those that exist in 1-D too


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def input_of(channels: int, size: tuple[int, ...]) -> Tensor:
    return torch.randn(2, channels, *size, dtype=torch.float64)


# sizes and channels


@given(
    name=st.sampled_from(FLAT),
    stride=st.sampled_from([1, 2]),
    size=st.lists(st.integers(2, 9), min_size=1, max_size=2),
)
def test_every_operation_rounds_the_size_up_and_keeps_the_channels(
    name: str, stride: int, size: list[int]
) -> None:
    op = operation(name, 4, stride, dims=len(size))
    out = op(torch.randn(2, 4, *size))
    assert out.shape == (2, 4, *((s + stride - 1) // stride for s in size))


@pytest.mark.parametrize("name", ["conv_7x1_1x7", "conv_3x1_1x3"])
@pytest.mark.parametrize("stride", [1, 2])
def test_factorized_convolutions_do_so_in_two_dimensions(name: str, stride: int) -> None:
    for height, width in product((6, 7), (8, 9)):
        out = operation(name, 4, stride)(torch.randn(1, 4, height, width))
        assert out.shape == (1, 4, -(-height // stride), -(-width // stride))


# what each one has to learn, by closed form (C channels, depthwise k x k, pointwise C x C)


@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("affine", [False, True])
def test_parameters_by_closed_form(channels: int, stride: int, dims: int, affine: bool) -> None:
    c, norm = channels, 2 * channels * affine

    def window(k: int) -> int:
        return k**dims

    expected = {
        "noise": 0,
        "none": 0,
        "max_pool_3x3": norm,
        "avg_pool_3x3": norm,
        "skip_connect": 0 if stride == 1 else c * c + norm,
        "sep_conv_3x3": 2 * (c * window(3) + c * c + norm),
        "sep_conv_5x5": 2 * (c * window(5) + c * c + norm),
        "sep_conv_7x7": 2 * (c * window(7) + c * c + norm),
        "dil_conv_3x3": c * window(3) + c * c + norm,
        "dil_conv_5x5": c * window(5) + c * c + norm,
    }
    assert set(expected) == set(FLAT)
    for name, number in expected.items():
        op = operation(name, c, stride, affine=affine, dims=dims, normalized_pooling=True)
        assert parameters(op) == number, name
        assert all("bias" not in n or "norm" in n for n, _ in op.named_parameters()), name


def test_normalization_follows_a_pooling_in_the_supernet_only() -> None:
    for name in ("max_pool_3x3", "avg_pool_3x3"):
        plain = operation(name, 4, 1)
        searched = operation(name, 4, 1, affine=False, normalized_pooling=True)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
        (norm,) = (m for m in searched.modules() if isinstance(m, nn.BatchNorm2d))
        assert not norm.affine
        x = torch.randn(8, 4, 6, 6)
        y = searched(x)
        assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(4), atol=1e-5)
        assert torch.allclose(y, F.batch_norm(plain(x), None, None, training=True), atol=1e-5)


# what each one computes


def normalized(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(("kernel", "stride"), [*product((3, 5, 7), (1, 2))])
def test_separable_convolution_is_two_rounds_the_second_without_stride(
    kernel: int, stride: int
) -> None:
    op = operation(f"sep_conv_{kernel}x{kernel}", 3, stride, affine=False).double()
    x = input_of(3, (9, 8))
    d1, p1, d2, p2 = op.parameters()
    pad = kernel // 2
    y = F.conv2d(F.conv2d(x.relu(), d1, None, stride, pad, 1, 3), p1)
    y = normalized(y)
    y = F.conv2d(F.conv2d(y.relu(), d2, None, 1, pad, 1, 3), p2)
    torch.testing.assert_close(op(x), normalized(y), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [*product((3, 5), (1, 2))])
def test_dilated_convolution_is_one_round_with_every_second_pixel(kernel: int, stride: int) -> None:
    op = operation(f"dil_conv_{kernel}x{kernel}", 3, stride, affine=False).double()
    x = input_of(3, (9, 8))
    depthwise, pointwise = op.parameters()
    y = F.conv2d(x.relu(), depthwise, None, stride, kernel - 1, 2, 3)  # pad 2 for 3, 4 for 5
    torch.testing.assert_close(op(x), normalized(F.conv2d(y, pointwise)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [*product((3, 7), (1, 2))])
def test_factorized_convolution_runs_along_rows_then_columns(kernel: int, stride: int) -> None:
    op = operation(f"conv_{kernel}x1_1x{kernel}", 3, stride, affine=False).double()
    x = input_of(3, (9, 8))
    row, column = op.parameters()
    assert row.shape == (3, 3, 1, kernel)
    assert column.shape == (3, 3, kernel, 1)
    half = kernel // 2
    y = F.conv2d(x.relu(), row, None, (1, stride), (0, half))
    y = F.conv2d(y, column, None, (stride, 1), (half, 0))
    torch.testing.assert_close(op(x), normalized(y), rtol=0, atol=1e-12)


def test_relu_conv_bn_is_what_it_says() -> None:
    op = relu_conv_bn(3, 5, affine=False).double()
    x = input_of(3, (4, 4))
    (weight,) = op.parameters()
    torch.testing.assert_close(op(x), normalized(F.conv2d(x.relu(), weight)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_none_is_zero_also_for_infinite_inputs(stride: int) -> None:
    x = torch.full((2, 3, 5, 4), torch.inf)
    assert torch.equal(Zero(stride)(x), torch.zeros(2, 3, 5 if stride == 1 else 3, 4 // stride))


@pytest.mark.parametrize("size", [(5,), (6,), (4, 5)])
def test_average_pooling_leaves_the_padding_out_of_the_mean(size: tuple[int, ...]) -> None:
    for stride in (1, 2):
        out = AvgPool(stride)(torch.ones(1, 2, *size))
        assert torch.equal(
            out, torch.ones_like(out)
        )  # counting the padding gives 2/3 at the border


def test_max_pooling_never_sees_the_padding() -> None:
    x = torch.full((1, 1, 4, 4), -5.0)
    x[0, 0, 2, 2] = 7.0
    assert MaxPool(1)(x).min() == -5
    assert MaxPool(2)(x).flatten().tolist() == [-5, -5, -5, 7]


def test_skip_is_the_identity_or_a_factorized_reduction() -> None:
    assert isinstance(operation("skip_connect", 4, 1), nn.Identity)
    assert isinstance(operation("skip_connect", 4, 2), FactorizedReduce)


# the factorized reduction


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (5, 7)])
def test_the_second_half_of_a_factorized_reduction_is_shifted_by_a_pixel_on_both_axes(
    size: tuple[int, int],
) -> None:
    op = FactorizedReduce(1, 2, affine=False).double()
    nn.init.ones_(op.conv1.weight)
    nn.init.ones_(op.conv2.weight)
    height, width = size
    x = torch.arange(1.0, 1 + height * width).view(1, 1, height, width).double()
    shifted = torch.zeros(-(-height // 2), -(-width // 2), dtype=torch.float64)
    for i, j in product(range(height // 2), range(width // 2)):
        shifted[i, j] = x[0, 0, 2 * i + 1, 2 * j + 1]
    expected = normalized(torch.stack([x[0, 0, ::2, ::2], shifted])[None])
    torch.testing.assert_close(op(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(op(x - 1000), torch.zeros_like(expected))  # the ReLU comes first


def test_the_shift_in_one_dimension() -> None:
    op = FactorizedReduce(1, 2, affine=False, dims=1).double()
    nn.init.ones_(op.conv1.weight)
    nn.init.ones_(op.conv2.weight)
    x = torch.tensor([[[1.0, 2, 3, 4, 5]]]).double()
    expected = normalized(torch.tensor([[[1.0, 3, 5], [2, 4, 0]]]).double())
    torch.testing.assert_close(op(x), expected, rtol=0, atol=1e-12)


def test_an_odd_number_of_output_channels_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        SpaceError, match=r"even number of output channels, got 3; choose space.channels"
    ):
        FactorizedReduce(4, 3)


# one definition for both numbers of dimensions


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "name",
    [n for n in FLAT if n not in ("skip_connect", "none", "noise") and not n.endswith("7x7")],
)
def test_one_dimension_is_two_dimensions_of_height_one(name: str, stride: int) -> None:
    flat = operation(name, 4, stride, dims=1).double()
    square = operation(name, 4, stride, dims=2).double()
    for ours, theirs in zip(flat.parameters(), square.parameters(), strict=True):
        with torch.no_grad():
            if ours.dim() < 2:  # batch normalization
                theirs.copy_(ours)
            else:  # the kernel becomes the middle row; the other rows meet padding only
                theirs.normal_()[:, :, theirs.shape[2] // 2] = ours
    x = input_of(4, (9,))
    torch.testing.assert_close(flat(x)[:, :, None], square(x[:, :, None]), rtol=0, atol=1e-12)


# mistakes


def test_an_unknown_operation_is_named_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(
        SpaceError, match=r"'sep_conv_3x4'; known are none, noise, max_pool_3x3.*did you"
    ):
        operation("sep_conv_3x4", 4, 1)


@pytest.mark.parametrize("name", ["conv_7x1_1x7", "conv_3x1_1x3"])
def test_two_dimensional_operations_are_refused_for_sequences(name: str) -> None:
    check_operation(name, 2)
    with pytest.raises(SpaceError, match="2-D inputs only"):
        operation(name, 4, 1, dims=1)
