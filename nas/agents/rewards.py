"""Rewards of different conditions on one scale."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-8


class PerCondition:
    """Moving mean and deviation of the rewards seen under each condition.

    Rewards of a hard condition are lower than those of an easy one whatever the agent does. With
    one baseline for all, that difference drowns what an action is worth; so each condition has a
    mean and a deviation of its own.

    Args:
        conditions: how many.
        momentum: of the moving averages; the plain mean while fewer rewards than
            ``1 / (1 - momentum)`` were seen.
    """

    def __init__(self, conditions: int, momentum: float) -> None:
        self.momentum = momentum
        self.count = torch.zeros(conditions, dtype=torch.int64)
        self.mean = torch.zeros(conditions, dtype=torch.float64)
        self.variance = torch.zeros(conditions, dtype=torch.float64)

    def see(self, condition: int, reward: float) -> None:
        """Take the reward of one episode into the averages."""
        self.count[condition] += 1
        step = max(1 - self.momentum, 1 / int(self.count[condition]))
        off = reward - self.mean[condition]
        self.mean[condition] += step * off
        # The moving form of Welford's update: exact for plain means.
        self.variance[condition] = (1 - step) * (self.variance[condition] + step * off * off)

    def __call__(self, rewards: Tensor, conditions: Tensor) -> Tensor:
        """``(r - mean_c) / deviation_c``, (n,), of rewards (n,) seen under conditions (n,).

        Where no two different rewards were seen it is 0.
        """
        off = rewards.double() - self.mean[conditions]
        deviation = self.variance[conditions].sqrt()
        scaled = torch.where(deviation > TINY, off / deviation.clamp_min(TINY), 0.0)
        return scaled.to(rewards)
