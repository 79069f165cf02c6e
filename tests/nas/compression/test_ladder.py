"""A mixture over bit-widths in nested form, against each grid rounded to directly."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.compression.evidence import residuals
from nas.compression.grid import MIDRISE, MIDTREAD, UNSIGNED, Grid, check_bits, grid_of
from nas.errors import SpaceError
from nas.kernels.portable.ladder import ladder, rungs

BITS = (2, 4, 8)
ALL = (MIDRISE, MIDTREAD, UNSIGNED)


def quantized(
    x: Tensor, clip: Tensor, gates: Tensor, grid: Grid, bits: tuple[int, ...] = BITS
) -> Tensor:
    return ladder(x, clip, gates, grid.levels(bits))


def directly(x: Tensor, clip: float, grid: Grid, bits: int) -> Tensor:
    """Rounded to the one grid of ``bits``, as the papers write it."""
    levels = 2**bits - 1
    if grid is UNSIGNED:
        return clip * torch.round(levels * (x / clip).clamp(0, 1)) / levels
    if grid is MIDRISE:
        z = ((x / clip).clamp(-1, 1) + 1) / 2
        return clip * (2 * torch.round(levels * z) / levels - 1)
    most = (levels - 1) // 2
    step = 2 * clip / levels
    return step * torch.round(x / step).clamp(-most, most)


@pytest.mark.parametrize("grid", ALL, ids=lambda grid: grid.name)
def test_every_gate_pattern_is_the_grid_of_its_bits(grid: Grid) -> None:
    x = torch.linspace(-1.7, 1.7, 100_000, dtype=torch.float64)
    for place, bits in enumerate(BITS):
        gates = (torch.arange(3) <= place).double()
        found = quantized(x, torch.tensor(1.3).double(), gates, grid)
        torch.testing.assert_close(found, directly(x, 1.3, grid, bits), rtol=0, atol=1e-6)


def test_grids_that_are_not_nested_leave_a_gap() -> None:
    u = torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gap = (sum(rungs(u, UNSIGNED.levels((2, 3)))) - directly(u, 1.0, UNSIGNED, 3)).abs().max()
    assert float(gap) > 0.09
    near = (sum(rungs(u, UNSIGNED.levels(BITS))) - directly(u, 1.0, UNSIGNED, 8)).abs().max()
    assert float(near) < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    clip=st.floats(0.2, 3),
    grid=st.sampled_from(ALL),
)
def test_gates_mix_the_grids_by_their_weights(
    weights: list[float], clip: float, grid: Grid
) -> None:
    w = torch.tensor(weights, dtype=torch.float64)
    w = w / w.sum()
    x = torch.randn(500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gates = w.flip(0).cumsum(0).flip(0)
    found = quantized(x, torch.tensor(clip).double(), gates, grid)
    mixture = sum(w[i] * directly(x, clip, grid, bits) for i, bits in enumerate(BITS))
    torch.testing.assert_close(found, mixture, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("bits", "levels"), [(2, 3), (4, 15), (8, 255)])
def test_midtread_has_the_levels_of_an_integer_with_zero(bits: int, levels: int) -> None:
    x = torch.linspace(-3, 3, 20_001)
    found = quantized(x, torch.tensor(1.0), torch.ones(1), MIDTREAD, (bits,)).unique()
    whole = found / MIDTREAD.step(bits)
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-4)
    assert sorted(whole.round().int().tolist()) == list(range(-(levels // 2), levels // 2 + 1))


def test_midrise_has_no_zero() -> None:
    found = quantized(torch.linspace(-3, 3, 2001), torch.tensor(1.0), torch.ones(1), MIDRISE, (2,))
    torch.testing.assert_close(found.unique(), torch.tensor([-1, -1 / 3, 1 / 3, 1]))


def test_the_error_falls_as_gates_open() -> None:
    x = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    errors = [
        float((quantized(x, torch.tensor(1.0), gates, UNSIGNED) - x).abs().mean())
        for gates in torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1]])
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def straight_through(x: Tensor, clip: Tensor, gates: Tensor, grid: Grid) -> Tensor:
    """A second implementation: every rung with its own straight-through rounding, by autograd."""
    u = (x / clip).clamp(grid.low, grid.high)
    u = torch.where((x / clip > grid.low) & (x / clip < grid.high), x / clip, u.detach())
    left, total = u - grid.offset, 0.0 * u + gates[0] * grid.offset
    for place, bits in enumerate(BITS):
        step = grid.step(bits)
        rung = left + (torch.round(left / step) * step - left).detach()
        total = total + gates[place] * rung
        left = left - rung
    return clip * total


@pytest.mark.parametrize("grid", ALL, ids=lambda grid: grid.name)
def test_gradients_are_those_of_straight_through_rounding(grid: Grid) -> None:
    generator = torch.Generator().manual_seed(3)
    x = (2 * torch.randn(400, generator=generator, dtype=torch.float64)).requires_grad_()
    clip = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    gates = torch.tensor([1.0, 0.7, 0.2], dtype=torch.float64, requires_grad=True)
    weight = torch.randn(400, generator=generator, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad((weight * value).sum(), (x, clip, gates))
        for value in (quantized(x, clip, gates, grid), straight_through(x, clip, gates, grid))
    )
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1] * math.sqrt(400 * 3), theirs[1])
    torch.testing.assert_close(ours[2], theirs[2])


def test_evidence_of_uniform_residuals_is_that_of_rounding() -> None:
    x = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    found = residuals(x, torch.tensor(1.0), UNSIGNED.levels(BITS))
    torch.testing.assert_close(found, torch.full((1, 2), 1 / math.sqrt(12)), rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ((2, 3), "levels of 2 bits are not among those of 3"),
        ((4, 2), "must increase"),
        ((0, 2), "pruned by compression.keep"),
        ((2, 32), "between 2 and 16"),
        ((), "whole numbers of bits"),
        ((2.5,), "whole numbers of bits"),
    ],
)
def test_bits_that_share_no_weights_are_refused(bits: tuple[int, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_bits(bits, "compression.weight_bits")


def test_another_grid_is_refused() -> None:
    with pytest.raises(SpaceError, match="must be one of midtread, midrise, got 'uneven'"):
        grid_of("uneven")
