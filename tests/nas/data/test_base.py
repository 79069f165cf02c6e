import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.data.base import ArrayData, normalize, scaled, statistics
from nas.dataspec import DataSpec
from nas.errors import NasError

SPEC = DataSpec((2, 4, 4), "classes", 3)


def data(**changes: Any) -> ArrayData:
    settings: dict[str, Any] = {
        "spec": SPEC,
        "inputs": torch.zeros(12, 2, 4, 4, dtype=torch.uint8),
        "targets": torch.arange(12) % 3,
        "splits": {"weights": torch.arange(6), "test": torch.arange(6, 12)},
        "fingerprint": "f" * 64,
        "name": "toy",
    }
    return ArrayData(**settings | changes)


def test_splits_are_counted_and_looked_up() -> None:
    toy = data()
    assert len(toy) == 12
    assert toy.counts() == {"weights": 6, "test": 6}
    assert toy.indices("test").tolist() == [6, 7, 8, 9, 10, 11]


def test_a_split_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NasError, match="'toy' has no split 'validation' here, only weights, test"):
        data().indices("validation")


def test_search_is_handed_data_without_the_test_split() -> None:
    hidden = data().without("test")
    assert hidden.counts() == {"weights": 6}
    with pytest.raises(NasError, match="no split 'test'"):
        hidden.indices("test")


def test_splits_cannot_be_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        data().splits["test"] = torch.arange(3)  # type: ignore[index]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"weights": torch.arange(6), "test": torch.arange(5, 9)}, "'weights' and 'test' share 1"),
        ({"weights": torch.arange(0)}, "split 'weights' is empty; give it a size of at least 1"),
        ({"weights": torch.tensor([3, 12])}, "'weights' has the index 12, but the 12 samples"),
        ({"weights": torch.tensor([3, -1])}, "'weights' has the index -1"),
        ({"weights": torch.tensor([3, 3])}, "'weights' names the same sample twice"),
        ({"train": torch.arange(6)}, "unknown split 'train'; splits are weights, architecture"),
        ({"tets": torch.arange(6)}, "unknown split 'tets'.*did you mean 'test'"),
        ({"test": torch.ones(12, dtype=torch.bool)}, "'test' must be a 1-D int64 tensor"),
        ({"test": torch.arange(4).view(2, 2)}, r"int64 of shape \(2, 2\)"),
    ],
)
def test_wrong_splits_are_refused_by_name(splits: dict[str, Tensor], message: str) -> None:
    with pytest.raises(NasError, match=message):
        data(splits=splits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": torch.zeros(12, 1, 4, 4)}, r"shape \(1, 4, 4\) but its DataSpec says \(2, 4"),
        ({"inputs": torch.zeros(12, 2, 4, 4, dtype=torch.int64)}, "must be uint8 in 0..255 or"),
        ({"inputs": torch.zeros(11, 2, 4, 4)}, r"same number of samples.*\[11, 12\]"),
        ({"inputs": torch.zeros(0, 2, 4, 4), "targets": torch.arange(0)}, "at least one"),
        ({"targets": [0] * 12}, "must be tensors with one entry per sample.*'int'"),
        ({"targets": torch.zeros(12)}, "class targets must be int64, got torch.float32"),
        ({"targets": torch.zeros(12, 1, dtype=torch.int64)}, r"must have the shape \(\), got"),
        ({"targets": torch.arange(12)}, "targets must lie in 0..2, got 0..11"),
        ({"targets": torch.arange(12) % 3 - 1}, "got -1..1"),
    ],
)
def test_arrays_that_contradict_the_specification_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NasError, match=message):
        data(**changes)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_found(value: float) -> None:
    inputs = torch.zeros(12, 2, 4, 4)
    inputs[7, 1, 2, 3] = value
    with pytest.raises(NasError, match="input 7 holds a value that is NaN or infinite"):
        data(inputs=inputs)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("multi-label", torch.ones(12, 3), torch.ones(12, 2)),
        ("multi-label", torch.zeros(12, 3), torch.full((12, 3), math.nan)),
        ("dense", torch.zeros(12, 4, 4, dtype=torch.int64), torch.zeros(12, 3, 4)),
        ("dense", torch.zeros(12, 3, 4, 4), torch.zeros(12)),
        ("dense", torch.full((12, 4, 4), 2), torch.full((12, 4, 4), 3)),
        ("image", torch.zeros(12, 3, 4, 4), torch.zeros(12, 3, 8, 8)),
    ],
)
def test_targets_of_other_kinds(kind: Any, good: Tensor, bad: Tensor) -> None:
    spec = DataSpec((2, 4, 4), kind, 3)
    assert len(data(spec=spec, targets=good)) == 12
    with pytest.raises(NasError, match=r"targets must lie in 0\.\.[12]|must have the shape"):
        data(spec=spec, targets=bad)


def test_an_image_out_may_have_another_size() -> None:
    spec = DataSpec((2, 4, 4), "image", 3, output_size=(8, 8))
    assert len(data(spec=spec, targets=torch.zeros(12, 3, 8, 8))) == 12


def test_inputs_and_targets_may_be_trees() -> None:
    tree = {"image": torch.zeros(12, 2, 4, 4), "age": torch.zeros(12)}
    assert len(data(inputs=tree, targets=(torch.zeros(12), torch.ones(12, 5)))) == 12
    with pytest.raises(NasError, match=r"same number of samples.*\[11, 12\]"):
        data(inputs=tree | {"age": torch.zeros(11)})


def test_bytes_are_scaled_to_one_and_floats_are_kept() -> None:
    assert scaled(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx(
        [0, 0.2, 1]
    )
    floats = torch.tensor([-3.0, 300.0])
    assert scaled(floats) is floats


@pytest.mark.parametrize("shape", [(40, 3, 5), (40, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_statistics_are_those_of_the_scaled_inputs(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    inputs = torch.randint(256, shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    mean, std = statistics(inputs)
    flat = scaled(inputs).double().transpose(0, 1).flatten(1)
    assert mean == pytest.approx(flat.mean(1).tolist(), rel=1e-5)
    assert std == pytest.approx(flat.std(1, correction=0).tolist(), rel=1e-5)
    spec = DataSpec(shape[1:], "classes", 2, mean=mean, std=std)
    normal = normalize(scaled(inputs), spec).transpose(0, 1).flatten(1)
    torch.testing.assert_close(normal.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(1, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_a_constant_channel_can_be_normalized() -> None:
    assert statistics(torch.full((5, 1, 4), 255, dtype=torch.uint8)) == ((1.0,), (1.0,))


def test_data_without_mean_is_not_normalized() -> None:
    inputs = torch.rand(3, 2, 4, 4)
    assert normalize(inputs, SPEC) is inputs
