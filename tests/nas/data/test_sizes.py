from typing import Any

import pytest
import torch
from torch import Tensor

from nas.data.sizes import Sizes
from nas.errors import NasError


def labels(*counts: int) -> Tensor:
    return torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])


def whole(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 0}, r"toy: test must be a whole number .*got 0; set data\.test"),
        ({"test": 1.0}, "test must be .*a share between 0 and 1, got 1.0"),
        ({"test": True}, "test must be"),
        ({"validation": "a"}, r"validation must be .*got 'a'; set data\.validation"),
        ({"architecture": None}, r"architecture must be .*got None; set data\.architecture"),
        ({"architecture": 0.0}, "architecture must be"),
        ({"split_seed": 0.5}, r"split_seed must be a whole number, got 0.5; set data\.split_seed"),
        ({"samples": 0}, "samples must be a whole number of at least 1, or null for all, got 0"),
        ({"samples": 0.5}, "samples must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Sizes("toy", **settings)


def test_shares_of_test_and_validation_are_of_all_and_that_of_architecture_of_the_rest() -> None:
    splits = Sizes("toy", test=0.2, validation=0.1, architecture=0.25).splits(
        labels(50, 50), whole(100)
    )
    assert {name: len(found) for name, found in splits.items()} == {
        "weights": 53,  # three quarters of 70 are 52.5
        "architecture": 17,
        "validation": 10,
        "test": 20,
    }


def test_whole_numbers_are_samples_and_weights_get_the_rest() -> None:
    splits = Sizes("toy", test=10, validation=6, architecture=4).splits(labels(20, 20), whole(40))
    assert [len(found) for found in splits.values()] == [20, 4, 6, 10]
    assert list(splits) == ["weights", "architecture", "validation", "test"]


def test_every_split_has_the_class_shares_of_the_whole() -> None:
    targets = labels(60, 30, 10)
    for found in Sizes("toy").splits(targets, whole(100)).values():
        share = torch.tensor([0.6, 0.3, 0.1]) * len(found)
        assert float((targets[found].bincount(minlength=3) - share).abs().max()) < 1


def test_defaults_hold_back_a_fifth_and_a_tenth() -> None:
    assert Sizes("toy").held_back(100) == {"validation": 10, "test": 20}
    assert Sizes("toy").held_back(100, ["test"]) == {"validation": 10}
    assert Sizes("toy").held_back(100, ["test", "validation"]) == {}


def test_cifar10_is_searched_on_equal_halves_and_its_test_part_is_left_alone() -> None:
    parts = torch.tensor([0] * 50_000 + [2] * 10_000)
    targets = torch.arange(60_000) % 10
    splits = Sizes("cifar10", validation=0.1).splits(targets, parts)
    assert {name: len(found) for name, found in splits.items()} == {
        "weights": 22_500,
        "architecture": 22_500,
        "validation": 5_000,
        "test": 10_000,
    }
    assert splits["test"].tolist() == list(range(50_000, 60_000))
    for found in splits.values():
        assert set(targets[found].bincount().tolist()) == {len(found) // 10}
    # NAS-Bench-201 searches on 25,000 and 25,000; validation, which it lacks, takes one per class.
    most = Sizes("cifar10", validation=10, architecture=24_995).splits(targets, parts)
    assert len(most["weights"]) == len(most["architecture"]) == 24_995


def test_official_parts_are_taken_as_they_are() -> None:
    parts = torch.tensor([0] * 20 + [1] * 4 + [2] * 6)
    targets = torch.arange(30) % 2
    splits = Sizes("toy").splits(targets, parts)
    assert splits["validation"].tolist() == [20, 21, 22, 23]
    assert splits["test"].tolist() == list(range(24, 30))
    rest = torch.cat([splits["weights"], splits["architecture"]]).sort().values
    assert rest.tolist() == list(range(20))


def test_a_size_for_a_part_that_the_data_have_is_refused() -> None:
    parts = torch.tensor([0] * 20 + [2] * 6)
    with pytest.raises(
        NasError, match=r"a test part of their own, so data\.test=3 .*data\.test=nu"
    ):
        Sizes("toy", test=3).splits(torch.arange(26) % 2, parts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 30, "validation": 10}, "validation=10, test=30, .*leave 0 for weights and 0 for"),
        (
            {"test": 60},
            "of 40 samples but each needs at least 1, one for every",
        ),
        ({"architecture": 28}, "leave 0 for weights and 28 for architecture"),
        ({"test": 30, "validation": 10, "samples": 50}, r"data\.architecture, data\.samples"),
    ],
)
def test_sizes_that_take_everything_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Sizes("toy", **settings).splits(labels(20, 20), whole(40))


def test_a_class_that_is_too_small_is_named() -> None:
    with pytest.raises(
        NasError, match="toy: class 'rare' has 3 training samples, too few for the 4"
    ):
        Sizes("toy").splits(labels(20, 3), whole(23), ["common", "rare"])


def test_a_class_that_the_limit_made_too_small_says_so() -> None:
    sizes, targets = Sizes("toy", samples=20), labels(100, 10)
    kept = sizes.keep(targets, whole(110))
    with pytest.raises(NasError, match=r"left by samples=20, too few .*raise data\.samples or"):
        sizes.splits(targets[kept], whole(len(kept)), ["common", "rare"])


def test_samples_limits_the_training_part_and_cuts_the_others_in_proportion() -> None:
    parts = torch.tensor([0] * 100 + [2] * 40)
    targets = torch.arange(140) % 2
    kept = Sizes("toy", samples=25).keep(targets, parts)
    assert parts[kept].bincount().tolist() == [25, 0, 10]
    assert targets[kept][parts[kept] == 2].bincount().tolist() == [5, 5]
    assert kept.tolist() == sorted(kept.tolist())


@pytest.mark.parametrize("samples", [None, 100, 101])
def test_a_limit_that_is_not_reached_keeps_everything(samples: int | None) -> None:
    kept = Sizes("toy", samples=samples).keep(labels(50, 50), whole(100))
    assert kept.tolist() == list(range(100))


def test_what_is_kept_depends_on_the_split_seed_alone() -> None:
    targets = labels(50, 50)
    torch.manual_seed(1)
    first = Sizes("toy", samples=30).keep(targets, whole(100))
    torch.manual_seed(2)
    again = Sizes("toy", samples=30).keep(targets, whole(100))
    other = Sizes("toy", samples=30, split_seed=1).keep(targets, whole(100))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
