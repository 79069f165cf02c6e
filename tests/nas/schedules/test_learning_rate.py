import math

import pytest
import torch
from torch import nn

from nas.schedules import CosineLearningRate


def optimizer(*rates: float) -> torch.optim.Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


@pytest.mark.parametrize("minimum", [0.0, 0.001])
def test_the_rate_is_a_half_wave(minimum: float) -> None:
    optim = optimizer(0.1)
    schedule = CosineLearningRate(optim, epochs=50, minimum=minimum)
    for epoch in range(50):
        schedule.on_epoch(epoch)
        expected = minimum + (0.1 - minimum) * 0.5 * (1 + math.cos(math.pi * epoch / 50))
        assert optim.param_groups[0]["lr"] == pytest.approx(expected)


def test_it_is_the_schedule_of_torch() -> None:
    ours, theirs = optimizer(0.025, 0.1), optimizer(0.025, 0.1)
    schedule = CosineLearningRate(ours, epochs=30, minimum=1e-3)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=30, eta_min=1e-3)
    for epoch in range(30):
        schedule.on_epoch(epoch)
        for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert mine["lr"] == pytest.approx(other["lr"])
        theirs.step()
        reference.step()


def test_every_group_starts_from_its_own_rate() -> None:
    optim = optimizer(0.1, 0.01)
    schedule = CosineLearningRate(optim, epochs=10)
    schedule.on_epoch(0)
    assert [group["lr"] for group in optim.param_groups] == [0.1, 0.01]
    schedule.on_epoch(5)
    assert [group["lr"] for group in optim.param_groups] == pytest.approx([0.05, 0.005])


def test_the_warmup_rises_linearly_and_hands_over_to_the_wave() -> None:
    optim = optimizer(0.5)
    schedule = CosineLearningRate(optim, epochs=250, warmup=5)
    rates = [schedule.rate(0.5, epoch) for epoch in range(7)]
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    wave = [0.25 * (1 + math.cos(math.pi * epoch / 250)) for epoch in (5, 6)]
    assert rates[5:] == pytest.approx(wave)


def test_a_resumed_run_needs_no_state() -> None:
    straight, resumed = optimizer(0.1), optimizer(0.1)
    first = CosineLearningRate(straight, epochs=20)
    for epoch in range(8):
        first.on_epoch(epoch)
    CosineLearningRate(resumed, epochs=20).on_epoch(7)
    assert resumed.param_groups[0]["lr"] == straight.param_groups[0]["lr"]
