import math
from typing import Any

import pytest
import torch

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks import Classification, Task

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0], [0.5, 0.0, 0.0], [0.0, 2.0, 0.0]])
TARGET = torch.tensor([0, 1, 0, 1])


def by_hand(smoothing: float) -> float:
    """Cross entropy against (1 - s) on the class plus s / K everywhere, in plain Python."""
    total = 0.0
    for row, label in zip(LOGITS.tolist(), TARGET.tolist(), strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        for k, logit in enumerate(row):
            wanted = (1 - smoothing) * (k == label) + smoothing / 3
            total -= wanted * (logit - log_sum)
    return total / 4


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_loss_is_the_cross_entropy_with_smoothed_targets(smoothing: float) -> None:
    loss = Classification(label_smoothing=smoothing).loss(LOGITS, TARGET)
    assert loss.item() == pytest.approx(by_hand(smoothing), rel=1e-6)


def test_accuracy_is_the_mean_over_the_batch_without_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    metrics = Classification().metrics(logits, TARGET)
    assert metrics["accuracy"].item() == 0.75
    assert metrics["accuracy"].shape == ()
    assert not metrics["accuracy"].requires_grad
    assert Classification().loss(logits, TARGET).requires_grad


def test_it_is_a_task_whose_primary_metric_is_better_when_higher() -> None:
    task: Task = Classification()
    assert set(task.metrics(LOGITS, TARGET)) == set(task.higher_is_better)
    assert task.higher_is_better[task.primary]


def test_it_wants_one_class_per_input() -> None:
    Classification().check(DataSpec((1, 8, 8), "classes", 10))


@pytest.mark.parametrize("kind", ["multi-label", "dense", "image"])
def test_other_kinds_of_data_are_refused(kind: Any) -> None:
    with pytest.raises(NasError, match=f"needs data of kind 'classes', got '{kind}'; choose"):
        Classification().check(DataSpec((1, 8, 8), kind, 10))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_label_smoothing_outside_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(NasError, match="label_smoothing must be at least 0 and below 1"):
        Classification(label_smoothing=smoothing)
