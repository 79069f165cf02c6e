"""What a search minimizes: the task's loss and the penalties of its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nas.arch import Arch
from nas.costs import Cost
from nas.errors import ConfigError
from nas.tasks import Task


@dataclass(frozen=True)
class Constraint:
    """A maximum on a cost: ``weight * max(0, cost / target - 1)`` is added to the loss.

    Raises:
        ConfigError: if target or weight is not above 0.
    """

    cost: Cost
    target: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.target > 0 and self.weight > 0):  # so that NaN fails too
            raise ConfigError(
                f"budget.{self.cost.name}={self.target:g} with weight {self.weight:g}: "
                "a limit and its weight must be above 0"
            )

    def penalty(self, arch: Arch) -> Tensor:
        """The penalty under ``arch``; scalar, 0 where the limit holds."""
        return self.weight * torch.relu(self.cost(arch) / self.target - 1)


class Objective:
    """Task loss plus the penalties of all constraints."""

    def __init__(self, task: Task, constraints: Sequence[Constraint] = ()) -> None:
        self.task, self.constraints = task, tuple(constraints)

    def __call__(self, output: Any, target: Any, arch: Arch) -> Tensor:
        """Scalar, differentiable in the output and in ``arch`` (what the supernet realised)."""
        loss = self.task.loss(output, target)
        for constraint in self.constraints:
            loss = loss + constraint.penalty(arch).to(loss)
        return loss
