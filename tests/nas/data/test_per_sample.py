from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from nas.data import Augment, PerSample
from nas.errors import NasError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def board(n: int) -> Tensor:
    """The same picture ``n`` times."""
    return torch.rand(1, 3, 9, 9, generator=generator(5)).expand(n, -1, -1, -1).clone()


def test_torchvisions_transforms_draw_once_for_a_batch_but_not_here() -> None:
    erase = v2.RandomErasing(p=1.0, scale=(0.1, 0.2))
    batch = board(12)
    together = erase(batch)
    assert all(torch.equal(x, together[0]) for x in together)
    apart = PerSample(erase)(batch, generator())
    assert len({tuple(x.flatten().tolist()) for x in apart}) > 6


def test_the_generator_alone_decides() -> None:
    flip = PerSample(v2.RandomHorizontalFlip())
    batch = board(30)
    torch.manual_seed(1)
    one = flip(batch, generator(3))
    torch.manual_seed(2)
    assert torch.equal(one, flip(batch, generator(3)))
    assert not torch.equal(one, flip(batch, generator(4)))
    flipped = [torch.equal(x, batch[0].flip(-1)) for x in one]
    kept = [torch.equal(x, batch[0]) for x in one]
    assert all(a or b for a, b in zip(flipped, kept, strict=True))
    assert 5 < sum(flipped) < 25


def test_the_global_numbers_are_left_as_they_were() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    PerSample(v2.ColorJitter(0.5))(board(4), generator())
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    "transform", [v2.CenterCrop(4), v2.Grayscale(1), v2.ToPILImage()], ids=["crop", "gray", "pil"]
)
def test_a_transform_that_changes_the_shape_is_named(transform: Any) -> None:
    with pytest.raises(NasError, match=rf"{type(transform).__name__} made .* to keep the shape"):
        PerSample(transform)(board(2), generator())


def test_modules_among_the_settings_are_applied_per_sample() -> None:
    batch = board(20)
    jitter = v2.ColorJitter(brightness=0.5)
    augment = Augment(before=[jitter], after=[v2.RandomHorizontalFlip()])
    found = augment(batch, generator())
    brightness = (found.sum((1, 2, 3)) / batch.sum((1, 2, 3))).tolist()
    assert len({round(value, 3) for value in brightness}) > 10
    with pytest.raises(NasError, match=r"before must be a list of transforms, got .*_target_"):
        Augment(before=[3])  # type: ignore[list-item]
    with pytest.raises(NasError, match="after must be a list of transforms"):
        Augment(after=jitter)  # type: ignore[arg-type]
