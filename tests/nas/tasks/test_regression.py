import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks import Regression, Task

CLOSED_FORMS = {
    "mse": lambda d: d**2,
    "l1": np.abs,
    "charbonnier": lambda d: np.sqrt(d**2 + 1e-6),
}


def drawn(*shape: int) -> tuple[Tensor, Tensor]:
    return torch.rand(shape), torch.rand(shape)


@pytest.mark.parametrize("criterion", CLOSED_FORMS)
@pytest.mark.parametrize("shape", [(5, 2, 4, 3), (5, 1, 7)], ids=str)
def test_loss_is_the_mean_of_its_closed_form(criterion: Any, shape: tuple[int, ...]) -> None:
    output, target = drawn(*shape)
    difference = (output - target).double().numpy()
    expected = CLOSED_FORMS[criterion](difference).mean()
    assert Regression(criterion).loss(output, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_psnr_is_the_mean_over_samples_of_its_closed_form(peak: float) -> None:
    output, target = drawn(6, 3, 5, 4)
    output[1] = target[1] + 0.5
    found = Regression(peak=peak).metrics(peak * output, peak * target)
    errors = ((peak * (output - target)).double().numpy() ** 2).mean(axis=(1, 2, 3))
    assert found["mse"].item() == pytest.approx(errors.mean(), rel=1e-5)
    assert found["psnr"].item() == pytest.approx((10 * np.log10(peak**2 / errors)).mean(), rel=1e-5)
    half = Regression(peak=peak).metrics(peak * output[1:2], peak * target[1:2])
    assert half["psnr"].item() == pytest.approx(20 * math.log10(2), rel=1e-5)


def test_a_perfect_sample_has_100_decibels_and_not_infinitely_many() -> None:
    target = torch.rand(2, 1, 4, 4)
    assert Regression().metrics(target, target)["psnr"].item() == pytest.approx(100)


def test_whole_targets_and_coarse_outputs_are_compared_as_floats() -> None:
    target = torch.tensor([[[3, 200]]], dtype=torch.uint8)
    output = torch.tensor([[[1.5, 201.5]]], requires_grad=True)
    loss = Regression().loss(output, target)
    assert loss.item() == pytest.approx(2.25)
    loss.backward()
    assert output.grad is not None
    fine = torch.tensor([[[1.001953125]]])  # bfloat16 would round it to 1
    assert Regression("l1").loss(torch.ones(1, 1, 1, dtype=torch.bfloat16), fine).item() > 1e-3


def test_it_is_a_task_whose_primary_metric_is_better_when_lower() -> None:
    task: Task = Regression()
    assert dict(task.higher_is_better) == {"mse": False, "psnr": True}
    assert set(task.metrics(*drawn(2, 1, 4))) == set(task.higher_is_better)
    assert task.primary == "mse"


def test_outputs_of_another_size_are_refused_instead_of_repeated() -> None:
    with pytest.raises(NasError, match="an output of 1x8x8 and a target of 1x16x16; choose"):
        Regression().loss(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 16, 16))
    with pytest.raises(NasError, match="an output of 3x8 and a target of 1x8"):
        Regression().loss(torch.zeros(2, 3, 8), torch.zeros(2, 1, 8))


@pytest.mark.parametrize("kind", ["image", "dense"])
def test_it_wants_values_at_positions(kind: Any) -> None:
    Regression().check(DataSpec((1, 8, 8), kind, 1))


@pytest.mark.parametrize("kind", ["classes", "multi-label"])
def test_other_kinds_of_data_are_refused(kind: Any) -> None:
    with pytest.raises(NasError, match=f"kind 'image' or 'dense', got '{kind}'; choose task="):
        Regression().check(DataSpec((1, 8, 8), kind, 10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "l2"}, "one of mse, l1, charbonnier, got 'l2'"),
        ({"criterion": "charbonier"}, "did you mean 'charbonnier'"),
        ({"peak": 0}, "peak must be a number above 0, got 0"),
        ({"peak": math.nan}, "peak must be a number above 0"),
        ({"peak": math.inf}, "peak must be a number above 0"),
        ({"peak": "255"}, "got '255'; give the largest value"),
    ],
)
def test_wrong_arguments_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Regression(**settings)
