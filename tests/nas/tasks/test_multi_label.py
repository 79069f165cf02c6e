import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from torch import Tensor

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks import MultiLabel, Task

SPEC = DataSpec((1, 16), "multi-label", 3)


def drawn(count: int = 40, labels: int = 3) -> tuple[Tensor, Tensor]:
    logits = torch.randn(count, labels)
    target = torch.randint(2, (count, labels)).float()
    logits[0], target[0] = -1.0, 0.0  # no label is there and none is predicted
    logits[1], target[1] = 1.0, 0.0
    logits[2], target[2] = -1.0, 1.0
    return logits, target


def by_hand(logits: Tensor, target: Tensor, weight: Any) -> float:
    """``-(w y log p + (1 - y) log(1 - p))``, mean over everything, in float64."""
    z, y = logits.double().numpy(), target.double().numpy()
    p = 1 / (1 + np.exp(-z))
    return float(-(np.asarray(weight) * y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


@pytest.mark.parametrize("weight", [None, 2.5, [0.5, 1.0, 4.0]])
def test_loss_is_the_weighted_binary_cross_entropy(weight: Any) -> None:
    logits, target = drawn()
    loss = MultiLabel(positive_weight=weight).loss(logits, target)
    expected = by_hand(logits, target, 1.0 if weight is None else weight)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_targets_may_be_whole_numbers() -> None:
    logits, target = drawn()
    task = MultiLabel()
    assert torch.equal(task.loss(logits, target.long()), task.loss(logits, target))
    assert task.metrics(logits, target.long()) == task.metrics(logits, target)


def test_metrics_are_those_of_scikit_learn() -> None:
    logits, target = drawn()
    found = MultiLabel().metrics(logits, target)
    wanted, predicted = target.numpy(), (logits > 0).float().numpy()
    f1 = f1_score(wanted, predicted, average="samples", zero_division=1.0)
    assert found["f1"].item() == pytest.approx(f1, abs=1e-6)
    assert found["label_accuracy"].item() == pytest.approx(
        1 - hamming_loss(wanted, predicted), abs=1e-6
    )
    assert found["exact_match"].item() == pytest.approx(accuracy_score(wanted, predicted), abs=1e-6)


def test_it_is_a_task_whose_metrics_are_better_when_higher() -> None:
    task: Task = MultiLabel()
    assert set(task.metrics(*drawn())) == set(task.higher_is_better)
    assert all(task.higher_is_better.values())
    assert task.primary == "f1"


def test_it_wants_labels_and_weights_that_fit_them() -> None:
    MultiLabel().check(SPEC)
    MultiLabel(positive_weight=(1.0, 2.0, 3.0)).check(SPEC)
    with pytest.raises(NasError, match="2 entries for 3 labels; give one"):
        MultiLabel(positive_weight=(1.0, 2.0)).check(SPEC)


@pytest.mark.parametrize(
    ("kind", "task"),
    [("classes", "classification"), ("dense", "segmentation"), ("image", "regression")],
)
def test_other_kinds_of_data_are_refused_with_their_task(kind: Any, task: str) -> None:
    with pytest.raises(NasError, match=f"kind 'multi-label', got '{kind}'; choose task={task},"):
        MultiLabel().check(DataSpec((1, 8, 8), kind, 10))


@pytest.mark.parametrize("weight", [0, -1.0, math.nan, math.inf, "2", True, [], [1.0, 0.0]])
def test_weights_that_are_no_numbers_above_0_are_refused(weight: Any) -> None:
    with pytest.raises(NasError, match="positive_weight must be a number above 0"):
        MultiLabel(positive_weight=weight)
