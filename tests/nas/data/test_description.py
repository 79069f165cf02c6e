from typing import Any

import pytest
import torch

from nas import console
from nas.data import Digits, describe
from nas.data.base import ArrayData
from nas.data.description import shortened
from nas.dataspec import DataSpec


def test_classes_sizes_and_splits_are_told() -> None:
    rows = dict(describe(Digits().load()))
    assert rows["data"] == "digits: 1797 images of 8x8, 1 channel, 10 classes"
    assert rows["classes"] == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert rows["splits"] == (
        "weights 565, architecture 565, validation 127, test 540 (split_seed 0)"
    )
    assert rows["scaled by"] == "mean 0.3047, std 0.3754"
    assert rows["note"].startswith("no official test split")


@pytest.mark.parametrize(
    ("spec", "inputs", "wanted"),
    [
        (DataSpec((3, 50), "multi-label", 4), (6, 3, 50), "sequences of 50, 3 channels, 4 labels"),
        (DataSpec((1, 4, 6), "dense", 2), (6, 1, 4, 6), "images of 4x6, 1 channel, 2 outputs per"),
        (
            DataSpec((3, 4, 4), "image", 3, output_size=(8, 8)),
            (6, 3, 4, 4),
            "images of 4x4, 3 channels, 3 channels of 8x8 out",
        ),
    ],
)
def test_every_kind_of_data_has_its_words(
    spec: DataSpec, inputs: tuple[int, ...], wanted: str
) -> None:
    shapes: dict[str, tuple[int, ...]] = {"multi-label": (6, 4), "dense": (6, 4, 6)}
    whole = torch.int64 if spec.kind == "dense" else torch.float32
    targets: Any = torch.zeros(shapes.get(spec.kind, (6, 3, 8, 8)), dtype=whole)
    splits = {"weights": torch.arange(6)}
    data = ArrayData(spec, torch.zeros(inputs), targets, splits, "f", "toy")
    ((_, first), (_, counts)) = describe(data)
    assert first.startswith(f"toy: 6 {wanted}")
    assert counts == "weights 6"


def test_many_or_long_class_names_are_cut_to_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = tuple(f"class number {k} of a hundred" for k in range(100))
    text = shortened(names)
    assert text.startswith("class number 0 of a h..., ")
    assert text.endswith("more")
    console.table([("classes", text), ("classes", shortened(("x" * 300, "y")))])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 100
