"""The task contract: every shipped task passes it, every fault is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks import Classification, MultiLabel, Regression, Segmentation, Task
from nas.testing import check_task

GOOD: dict[str, tuple[Task, DataSpec | None]] = {
    "classification": (Classification(), None),
    "classification, smoothed": (Classification(0.1), DataSpec((2, 16), "classes", 3)),
    "multi-label": (MultiLabel(), None),
    "multi-label, weighted": (
        MultiLabel((1.0, 2.0, 0.5)),
        DataSpec((2, 16), "multi-label", 3),
    ),
    "segmentation": (Segmentation(), None),
    "segmentation of sequences": (Segmentation(), DataSpec((2, 17), "dense", 3)),
    "regression": (Regression(), None),
    "regression, l1": (Regression("l1"), DataSpec((2, 17), "image", 3)),
    "regression, charbonnier": (Regression("charbonnier"), None),
    "regression to another size": (
        Regression(),
        DataSpec((2, 4, 4), "image", 1, (), (), (), (8, 8)),
    ),
}


@pytest.mark.parametrize(("task", "data"), GOOD.values(), ids=GOOD.keys())
def test_good_tasks_pass(task: Task, data: DataSpec | None) -> None:
    check_task(task, data)


def test_values_at_positions_pass_with_an_example_of_theirs() -> None:
    """Data of kind dense may hold classes or values; only who made it knows which."""

    def example(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (count, 2, 8)
        return torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)

    check_task(Regression(), DataSpec((1, 8), "dense", 2), example=example)


@dataclass(frozen=True)
class Altered:
    """Regression of which single parts are replaced."""

    higher: Mapping[str, bool] | None = None
    first: str = "mse"
    checked: Callable[[DataSpec], None] = Regression().check
    criterion: Callable[[Tensor, Tensor], Tensor] = functional.mse_loss
    measured: Callable[[Tensor, Tensor], dict[str, Tensor]] = Regression().metrics

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        return Regression().higher_is_better if self.higher is None else self.higher

    @property
    def primary(self) -> str:
        return self.first

    def check(self, spec: DataSpec) -> None:
        self.checked(spec)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self.criterion(output, target)

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return self.measured(output, target)


def whole_f1(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """F1 over all labels of a batch together: no mean over samples."""
    predicted, there = output.detach() > 0, target > 0.5
    both = (predicted & there).sum()
    f1 = 2 * both / (predicted.sum() + there.sum()).clamp_min(1)
    return {"f1": f1, "label_accuracy": f1, "exact_match": f1}


@dataclass(frozen=True)
class WholeF1:
    """MultiLabel with an F1 that does not combine over batches."""

    higher_is_better = MultiLabel().higher_is_better
    primary = "f1"

    def check(self, spec: DataSpec) -> None:
        MultiLabel().check(spec)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return MultiLabel().loss(output, target)

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return whole_f1(output, target)


def refuses(spec: DataSpec) -> None:
    raise NasError("never")


def raises(spec: DataSpec) -> None:
    raise ValueError("wrong kind")


def named(**values: Any) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    return lambda output, target: {
        name: make(output.detach(), target) for name, make in values.items()
    }


def psnr_of_mean(output: Tensor, target: Tensor) -> Tensor:
    return -10 * functional.mse_loss(output, target).log10()


BROKEN: dict[str, tuple[Task, str]] = {
    "no kind of data": (Altered(checked=refuses), "refuses every kind of data"),
    "a refusal that is no NasError": (Altered(checked=raises), "must refuse data with a NasError"),
    "an unknown primary metric": (Altered(first="mae"), "'mae' is not among mse, psnr"),
    "a loss of a sum": (
        Altered(criterion=lambda o, t: (o - t).square().sum()),
        "the loss is not a mean over samples",
    ),
    "a loss for each sample": (
        Altered(criterion=lambda o, t: (o - t).square().flatten(1).mean(1)),
        "must be one number",
    ),
    "a loss without gradient": (
        Altered(criterion=lambda o, t: functional.mse_loss(o.detach(), t)),
        "cannot be differentiated",
    ),
    "a loss that rises": (
        Altered(criterion=lambda o, t: -functional.mse_loss(o, t)),
        "calls worse",
    ),
    "metrics nobody named": (
        Altered(measured=named(mse=functional.mse_loss)),
        r"metrics\(\) gives \['mse'\]",
    ),
    "a metric in the graph": (
        Altered(higher={"mse": False}, measured=lambda o, t: {"mse": functional.mse_loss(o, t)}),
        "must be outside the graph",
    ),
    "the wrong direction": (
        Altered(higher={"mse": True}, measured=named(mse=functional.mse_loss)),
        "calls worse",
    ),
    "PSNR of the mean error": (
        Altered(measured=named(mse=functional.mse_loss, psnr=psnr_of_mean)),
        "metric 'psnr' is not a mean over samples",
    ),
    "F1 of a whole batch": (WholeF1(), "metric 'f1' is not a mean over samples"),
}


@pytest.mark.parametrize(("task", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_faults_are_found(task: Task, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_task(task)


def test_data_that_a_task_refuses_are_told_with_its_reason() -> None:
    with pytest.raises(AssertionError, match=r"refuses the data .* choose task=regression"):
        check_task(Segmentation(), DataSpec((1, 8, 8), "image", 2))
