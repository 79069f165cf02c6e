"""Whole numbers and their unit are what the quantizer gives, for every grid that has them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.compression.grid import MIDRISE, MIDTREAD, UNSIGNED, Grid
from nas.compression.quantizer import Quantizer
from nas.decision import Decision
from nas.export.base import UnfitError
from nas.export.integers.codes import InputCodes, input_codes, weight_codes
from nas.export.integers.layers import IntegerInput


def fixed(bits: int, grid: Grid | None, clip: float) -> Quantizer:
    quantizer = Quantizer(bits, grid).eval().requires_grad_(False)
    quantizer.clip.fill_(clip)
    return quantizer


@given(st.integers(2, 8), st.floats(1e-3, 50), st.integers(0, 99))
def test_weights_are_the_nearest_multiples_of_their_unit(bits: int, clip: float, seed: int) -> None:
    weight = 2 * clip * torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    quantizer = fixed(bits, MIDTREAD, clip)
    found = weight_codes("conv", quantizer, weight)
    assert found is not None
    most = 2 ** (bits - 1) - 1
    levels = torch.arange(-most, most + 1).double() * 2 * float(quantizer.clip) / (2**bits - 1)
    nearest = (weight.double().unsqueeze(-1) - levels).abs().argmin(-1) - most
    off = (found.codes - nearest).abs()
    assert off.max() <= 1  # a number in the middle of two levels
    assert float((off > 0).float().mean()) < 0.02
    assert found.bits == bits
    torch.testing.assert_close((found.unit * found.codes).float(), quantizer(weight))


@given(st.integers(2, 8), st.sampled_from([UNSIGNED, MIDTREAD]), st.floats(1e-3, 50))
def test_an_input_on_its_codes_is_what_the_quantizer_gives(
    bits: int, grid: Grid, clip: float
) -> None:
    quantizer = fixed(bits, grid, clip)
    codes = input_codes("conv", quantizer)
    assert codes is not None
    x = clip * torch.linspace(-1.5, 1.5, 2001)
    levels = IntegerInput(codes)(x)
    off = (levels - quantizer(x)).abs() / codes.scale
    assert float((off > 1e-3).float().mean()) < 1e-3  # in the middle of two levels, at most
    assert float(off.max()) < 1.001
    assert levels.unique().numel() == codes.most + 1 - (codes.zero if grid is UNSIGNED else 0)


@pytest.mark.parametrize(
    ("bits", "grid", "zero", "most"),
    [(8, UNSIGNED, 0, 255), (4, UNSIGNED, 0, 15), (8, MIDTREAD, 127, 254), (2, MIDTREAD, 1, 2)],
)
def test_codes_begin_at_zero_and_end_with_the_bits(
    bits: int, grid: Grid, zero: int, most: int
) -> None:
    step = 3.0 * (1 if grid is UNSIGNED else 2) / (2**bits - 1)
    found = input_codes("conv", fixed(bits, grid, 3.0))
    assert found == InputCodes(pytest.approx(step), zero, most)


def test_what_is_not_quantized_has_no_codes() -> None:
    assert weight_codes("conv", torch.nn.Identity(), torch.ones(2, 2)) is None
    assert input_codes("conv", torch.nn.Identity()) is None


def test_a_normalized_weight_is_taken_as_it_is_used() -> None:
    quantizer = Quantizer(4, MIDTREAD, normalized=True).eval().requires_grad_(False)
    weight = 5 + 0.1 * torch.randn(8, 4)
    found = weight_codes("linear", quantizer, weight)
    assert found is not None
    torch.testing.assert_close((found.unit * found.codes).float(), quantizer(weight))


def test_what_integers_cannot_hold_is_refused_with_a_remedy() -> None:
    weight, open_bits = torch.randn(3, 3), Decision("conv/weight_bits", (2, 4), "nested")
    with pytest.raises(UnfitError, match=r"midrise, which has no zero .*compression\.grid=midtr"):
        weight_codes("conv", fixed(4, MIDRISE, 1.0), weight)
    with pytest.raises(UnfitError, match="have 16 bits, integers at most 8"):
        weight_codes("conv", fixed(16, MIDTREAD, 1.0), weight)
    with pytest.raises(UnfitError, match="still open: derive a genotype"):
        input_codes("conv", Quantizer(open_bits))
    with pytest.raises(UnfitError, match="normalized before they are quantized"):
        input_codes("conv", Quantizer(4, normalized=True))
