from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.data.augment import Augment, Cutout, RandomFlip, RandomShift, Transform
from nas.dataspec import DataSpec
from nas.errors import NasError

SHAPES = [(17, 3, 9), (17, 2, 7, 5)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(shape: Sequence[int]) -> Tensor:
    return torch.rand(*shape, generator=generator(9)) + 0.1


def slow_shift(x: Tensor, starts: Tensor, padding: int) -> Tensor:
    """One position at a time: output p is input p + start - padding, or 0 outside."""
    out = torch.zeros_like(x)
    for n in range(len(x)):
        for place in product(*map(range, x.shape[2:])):
            source = [p + int(s) - padding for p, s in zip(place, starts[n], strict=True)]
            if all(0 <= q < size for q, size in zip(source, x.shape[2:], strict=True)):
                out[(n, slice(None), *place)] = x[(n, slice(None), *source)]
    return out


def slow_cutout(x: Tensor, centers: Tensor, size: int) -> Tensor:
    out = x.clone()
    for n in range(len(x)):
        starts = [int(c) - size // 2 for c in centers[n]]
        for place in product(*map(range, x.shape[2:])):
            if all(s <= p < s + size for p, s in zip(place, starts, strict=True)):
                out[(n, slice(None), *place)] = 0
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [1, 2, 4])
def test_shift_is_pad_and_crop_per_sample(shape: tuple[int, ...], padding: int) -> None:
    x, shift = inputs(shape), RandomShift(padding)
    starts = shift.draw(len(x), len(shape) - 2, generator())
    assert torch.equal(shift(x, generator()), slow_shift(x, starts, padding))


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_reverses_the_chosen_samples(shape: tuple[int, ...]) -> None:
    x = inputs(shape)
    chosen = RandomFlip().draw(len(x), generator())
    out = RandomFlip()(x, generator())
    assert 0 < int(chosen.sum()) < len(x)
    for n in range(len(x)):
        expected = x[n][..., list(reversed(range(shape[-1])))] if chosen[n] else x[n]
        assert torch.equal(out[n], expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_cutout_erases_one_region_per_sample(shape: tuple[int, ...], size: int) -> None:
    x, cutout = inputs(shape), Cutout(size)
    centers = cutout.draw(shape[2:], len(x), generator())
    assert torch.equal(cutout(x, generator()), slow_cutout(x, centers, size))


def test_cutout_may_lie_partly_outside() -> None:
    out = Cutout(4).apply(torch.ones(3, 1, 6, 6), torch.tensor([[0, 0], [3, 3], [5, 5]]))
    assert (out == 0).sum(dim=(1, 2, 3)).tolist() == [4, 16, 9]


@pytest.mark.parametrize("dims", [1, 2])
def test_shifts_and_centers_are_uniform_and_independent(dims: int) -> None:
    n = 20000
    starts = RandomShift(2).draw(n, dims, generator(1))
    centers = Cutout(3).draw((5, 5)[:dims], n, generator(2))
    for drawn in (starts, centers):
        cells = (drawn * torch.tensor([5, 1])[-dims:]).sum(1)
        counts = torch.bincount(cells, minlength=5**dims).float()
        expected = n / 5**dims
        assert float(((counts - expected) ** 2 / expected).sum()) < 60  # chi squared, 24 dof: 1e-4


def test_about_half_are_flipped() -> None:
    assert abs(int(RandomFlip().draw(20000, generator()).sum()) - 10000) < 5 * 71
    assert not RandomFlip(0.0).draw(100, generator()).any()
    assert RandomFlip(1.0).draw(100, generator()).all()


@pytest.mark.parametrize("transform", [RandomShift(2), RandomFlip(), Cutout(2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_operations_keep_shape_input_and_global_generator(
    transform: Transform, shape: tuple[int, ...]
) -> None:
    x = inputs(shape)
    kept, state = x.clone(), torch.get_rng_state()
    out = transform(x, generator())
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert torch.equal(x, kept)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(out, transform(x, generator(1)))


def test_the_order_is_shift_flip_normalize_cutout() -> None:
    x, drawn = inputs((16, 1, 8, 8)), generator(4)
    expected = RandomFlip()(RandomShift(2)(x, drawn), drawn)
    expected = Cutout(3)((expected - 0.5) / 0.25, drawn)
    out = Augment(shift=2, flip=True, cutout=3)(x, generator(4), lambda t: (t - 0.5) / 0.25)
    assert torch.equal(out, expected)
    assert (out == -2).any()  # padding is black, as before normalization
    assert (out == 0).any()  # the hole has the mean color, as after it


def test_own_operations_go_before_or_after_normalization() -> None:
    def plus(inputs: Tensor, generator: torch.Generator) -> Tensor:
        return inputs + 1

    x = torch.zeros(2, 1, 4)
    assert Augment(before=[plus])(x, generator(), lambda t: t * 10).unique().tolist() == [10]
    assert Augment(after=[plus])(x, generator(), lambda t: t * 10).unique().tolist() == [1]


def test_no_augmentation_is_the_identity() -> None:
    x = inputs((4, 1, 8))
    assert Augment()(x, generator()) is x


@pytest.mark.parametrize("settings", [{"shift": -1}, {"cutout": 1.5}, {"shift": True}])
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(NasError, match="must be a whole number of positions of at least 0"):
        Augment(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutout": 16}, "cutout=16 does not fit inputs of size 8x10; use at most 7, or 0"),
        ({"shift": 8}, "shift=8 does not fit"),
    ],
)
def test_sizes_beyond_the_input_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Augment(**settings).check(DataSpec((1, 8, 10), "classes", 2))


@pytest.mark.parametrize("kind", ["dense", "image"])
def test_moving_inputs_under_fixed_targets_is_refused(kind: Any) -> None:
    spec = DataSpec((1, 8, 8), kind, 2)
    Augment(cutout=2).check(spec)
    for augment in (Augment(shift=1), Augment(flip=True)):
        with pytest.raises(NasError, match=f"move the inputs and not the targets .*{kind}"):
            augment.check(spec)
