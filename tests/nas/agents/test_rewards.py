"""Rewards on one scale, against numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.agents import PerCondition

SEEN = [(0, 1.0), (1, 40.0), (0, 3.0), (1, 10.0), (0, 8.0), (1, 70.0), (0, 2.0)]


def test_early_averages_are_plain_ones_of_each_condition() -> None:
    rewards = PerCondition(2, momentum=0.95)
    for condition, reward in SEEN:
        rewards.see(condition, reward)
    for condition in (0, 1):
        own = np.array([reward for c, reward in SEEN if c == condition])
        wanted = (own - own.mean()) / own.std()
        found = rewards(torch.tensor(own), torch.full((len(own),), condition))
        assert found.numpy() == pytest.approx(wanted, rel=1e-9)


def test_later_averages_move() -> None:
    rewards = PerCondition(1, momentum=0.5)
    mean, square = 0.0, 0.0
    for number, reward in enumerate([4.0, 8.0, 1.0, 5.0, 5.0]):
        rewards.see(0, reward)
        step = 1.0 if number == 0 else 0.5
        # Second implementation: moving averages of the reward and of its square.
        mean, square = mean + step * (reward - mean), square + step * (reward**2 - square)
    deviation = (square - mean**2) ** 0.5
    found = rewards(torch.tensor([7.0], dtype=torch.float64), torch.tensor([0]))
    assert float(found) == pytest.approx((7.0 - mean) / deviation, rel=1e-9)


def test_equal_rewards_tell_nothing() -> None:
    rewards = PerCondition(2, momentum=0.9)
    for _ in range(3):
        rewards.see(0, 0.7)
    assert rewards(torch.tensor([0.7, 0.7]), torch.tensor([0, 1])).tolist() == [0.0, 0.0]
