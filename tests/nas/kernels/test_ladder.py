"""The ladder in C++ beside the one in PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nas.compression.grid import MIDRISE, MIDTREAD, UNSIGNED, Grid
from nas.kernels import Levels, native_kernels
from nas.kernels.portable import ladder as portable

pytestmark = pytest.mark.skipif(native_kernels() is None, reason="no C++ compiler")


def native(x: Tensor, clip: Tensor, gates: Tensor, levels: Levels) -> Tensor:
    kernels = native_kernels()
    assert kernels is not None
    return kernels.ladder(x, clip, gates, levels)


@pytest.mark.parametrize("grid", [MIDRISE, MIDTREAD, UNSIGNED], ids=lambda grid: grid.name)
@pytest.mark.parametrize("bits", [(4,), (2, 8), (2, 4, 8), (2, 4, 8, 16)], ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (3, 5, 31, 33)], ids=str)
def test_values_and_gradients_agree(grid: Grid, bits: tuple[int, ...], shape: tuple[int]) -> None:
    generator = torch.Generator().manual_seed(len(bits))
    x = (2 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
    clip = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    gates = torch.rand(len(bits), generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = []
    for function in (portable, native):
        y = function(x, clip, gates, grid.levels(bits))
        found.append([y, *torch.autograd.grad((weight * y).sum(), (x, clip, gates))])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_single_precision_agrees_but_for_ties() -> None:
    x = 2 * torch.randn(4, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    levels = MIDTREAD.levels((2, 4, 8))
    gates, clip = torch.tensor([1.0, 1.0, 1.0]), torch.tensor(1.5)
    gap = (native(x, clip, gates, levels) - portable(x, clip, gates, levels)).abs()
    assert float((gap > 1e-5).float().mean()) < 1e-4


def test_views_and_half_precision_are_served() -> None:
    x = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))
    levels, gates, clip = UNSIGNED.levels((2, 4)), torch.tensor([1.0, 0.5]), torch.tensor(1.5)
    torch.testing.assert_close(
        native(x.transpose(0, 2), clip, gates, levels),
        portable(x.transpose(0, 2), clip, gates, levels),
    )
    half = native(x.bfloat16(), clip, gates, levels)
    assert half.dtype == torch.bfloat16


def test_not_a_number_stays_one() -> None:
    x = torch.tensor([0.5, float("nan")])
    y = native(x, torch.tensor(1.0), torch.ones(1), UNSIGNED.levels((4,)))
    assert bool(torch.isnan(y[1]))
    assert not bool(torch.isnan(y[0]))
