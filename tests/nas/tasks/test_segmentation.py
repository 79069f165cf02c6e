from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score
from torch import Tensor

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks import Segmentation, Task

SHAPES = [(6, 5), (7,)]


def drawn(size: tuple[int, ...], classes: int = 4) -> tuple[Tensor, Tensor]:
    target = torch.randint(classes, (9, *size))
    target[0] = 2  # a sample of one class
    logits = torch.randn(9, classes, *size)
    logits[0, 2] += 20  # that is found everywhere
    return logits, target


@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_loss_is_the_cross_entropy_of_every_position(size: tuple[int, ...]) -> None:
    logits, target = drawn(size)
    z = logits.double().movedim(1, -1).reshape(-1, 4).numpy()
    wanted = target.flatten().numpy()
    own = z[np.arange(len(z)), wanted]
    expected = (np.log(np.exp(z).sum(1)) - own).mean()
    assert Segmentation().loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_metrics_are_means_over_samples_of_those_of_scikit_learn(size: tuple[int, ...]) -> None:
    logits, target = drawn(size)
    found = Segmentation().metrics(logits, target)
    pairs = list(zip(target.flatten(1).numpy(), logits.argmax(1).flatten(1).numpy(), strict=True))
    accuracy = np.mean([accuracy_score(wanted, predicted) for wanted, predicted in pairs])
    iou = np.mean([jaccard_score(w, p, average="macro") for w, p in pairs])
    assert found["pixel_accuracy"].item() == pytest.approx(accuracy, abs=1e-6)
    assert found["sample_iou"].item() == pytest.approx(iou, abs=1e-6)


def test_nothing_right_is_nothing() -> None:
    logits = torch.zeros(2, 3, 4)
    logits[:, 0] = 1.0
    found = Segmentation().metrics(logits, torch.ones(2, 4, dtype=torch.int64))
    assert {name: value.item() for name, value in found.items()} == {
        "pixel_accuracy": 0.0,
        "sample_iou": 0.0,
    }


def test_it_is_a_task_whose_metrics_are_better_when_higher() -> None:
    task: Task = Segmentation()
    assert set(task.metrics(*drawn((6, 5)))) == set(task.higher_is_better)
    assert task.higher_is_better[task.primary]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (torch.zeros(2, 3, 8, 8), "an output of 3x8x8 and a target of 3x8x8"),
        (torch.zeros(2, 4, 8, dtype=torch.int64), "an output of 3x8x8 and a target of 4x8"),
        (torch.zeros(2, dtype=torch.int64), "a target of one number"),
    ],
    ids=["values", "another size", "one class"],
)
def test_targets_that_do_not_fit_are_refused(target: Tensor, words: str) -> None:
    with pytest.raises(NasError, match=words):
        Segmentation().loss(torch.zeros(2, 3, 8, 8), target)


def test_it_wants_a_class_at_every_position() -> None:
    Segmentation().check(DataSpec((1, 8, 8), "dense", 2))
    with pytest.raises(NasError, match="at least 2 classes, got 1; count the background"):
        Segmentation().check(DataSpec((1, 8, 8), "dense", 1))


@pytest.mark.parametrize("kind", ["classes", "multi-label", "image"])
def test_other_kinds_of_data_are_refused(kind: Any) -> None:
    with pytest.raises(NasError, match=f"needs data of kind 'dense', got '{kind}'; choose task="):
        Segmentation().check(DataSpec((1, 8, 8), kind, 10))
