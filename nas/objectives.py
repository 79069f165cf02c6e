"""What a search minimizes: the task's loss and what its budget adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from nas.arch import Arch
from nas.costs import Cost
from nas.errors import ConfigError
from nas.tasks import Task

TINY = 1e-12


class Constraint(Protocol):
    """A maximum on a cost, or a pull on it, as a term of the loss.

    Attributes:
        cost: what is limited.
    """

    cost: Cost

    @property
    def weight(self) -> float:
        """What the excess is multiplied with now."""
        ...

    def relative(self, arch: Arch) -> Tensor:
        """What the weight multiplies: how far the cost under ``arch`` is off; scalar."""
        ...

    def penalty(self, arch: Arch) -> Tensor:
        """The term under ``arch``; scalar, differentiable in its weights."""
        ...


class Penalty:
    """A maximum with a fixed weight: ``weight * max(0, cost / target - 1)``.

    Raises:
        ConfigError: if target or weight is not above 0.
    """

    def __init__(self, cost: Cost, target: float, weight: float = 1.0) -> None:
        check_positive(cost, target, weight)
        self.cost, self.target, self.weight = cost, target, weight

    def penalty(self, arch: Arch) -> Tensor:
        """The penalty of the expected cost; 0 where the limit holds."""
        return self.weight * self.relative(arch)

    def relative(self, arch: Arch) -> Tensor:
        """The relative excess of the expected cost; 0 where the limit holds."""
        return torch.relu(self.cost(arch) / self.target - 1)


class Multiplier:
    """A maximum whose weight adapts: a multiplier of the augmented Lagrangian.

    With the excess ``v = log(cost / target)``, at least -1, of the architecture that would be
    derived now, ``adapt`` sets ``m <- clip(m + rate * v, 0, most)`` and the penalty is
    ``max(0, m + gain * v)`` times the log of the expected cost over its target, which alone has a
    gradient. Logs, since a cost may begin at many times its limit (bit operations do). The
    multiplier so rises until what is derived keeps to the limit, whatever the relaxation says on
    average, and falls again where there is room (Bertsekas 1982, chapter 3; the dual step on the
    derived architecture is our own choice).

    Args:
        cost: what is limited.
        target: its maximum.
        rate: of the multiplier, per architecture step and unit of excess.
        gain: weight of the present excess beside the multiplier.
        most: of the multiplier, so that an excess that lasts does not wind it up.

    Raises:
        ConfigError: if one of the numbers is not above 0.
    """

    def __init__(
        self,
        cost: Cost,
        target: float,
        rate: float = 0.1,
        gain: float = 1.0,
        most: float = 10.0,
    ) -> None:
        check_positive(cost, target, rate)
        self.cost, self.target = cost, target
        self.rate, self.gain, self.most = rate, gain, most
        self.value, self.excess = 0.0, 0.0

    @property
    def weight(self) -> float:
        """What the log of the expected cost over its target is multiplied with now."""
        return max(0.0, self.value + self.gain * self.excess)

    def adapt(self, derived: float) -> None:
        """One dual step, given the cost of the architecture that would be derived now."""
        self.excess = max(-1.0, math.log(max(derived / self.target, TINY)))
        self.value = min(self.most, max(0.0, self.value + self.rate * self.excess))

    def penalty(self, arch: Arch) -> Tensor:
        """The Lagrangian term of the expected cost; below 0 where that is within the limit."""
        return self.weight * self.relative(arch)

    def relative(self, arch: Arch) -> Tensor:
        """The log of the expected cost over its target, at least -1; below 0 within the limit."""
        return (self.cost(arch) / self.target).clamp_min(math.exp(-1)).log()


class LogCost:
    """A pull on a cost that has no limit: ``weight * log(cost)`` (ABS, arXiv 2101.04935, eq. 14).

    Its gradient does not depend on the cost's unit.

    Raises:
        ConfigError: if the weight is not above 0.
    """

    def __init__(self, cost: Cost, weight: float) -> None:
        if not weight > 0:
            raise ConfigError(
                f"strategy.log_costs.{cost.name}={weight:g}: the weight must be above 0; "
                "leave the cost out to give it none"
            )
        self.cost, self.weight = cost, weight

    def penalty(self, arch: Arch) -> Tensor:
        """The term under ``arch``; scalar."""
        return self.weight * self.relative(arch)

    def relative(self, arch: Arch) -> Tensor:
        """The log of the expected cost; scalar."""
        return self.cost(arch).clamp_min(TINY).log()


def check_positive(cost: Cost, target: float, weight: float) -> None:
    """Raise ConfigError unless both numbers are above 0; NaN is not."""
    if not (target > 0 and weight > 0):
        raise ConfigError(
            f"budget.{cost.name}={target:g} with weight {weight:g}: "
            "a limit and its weight must be above 0"
        )


Derived = Callable[[Arch], Mapping[str, float]]
"""The costs, by name, of the architecture that would be derived from these weights."""


class Objective:
    """Task loss plus the terms of all constraints.

    Args:
        task: what is learnt.
        constraints: the limits of the budget.
        derived: tells multipliers what to adapt to; needed where there are some.
    """

    def __init__(
        self, task: Task, constraints: Sequence[Constraint] = (), derived: Derived | None = None
    ) -> None:
        self.task, self.constraints, self.derived = task, tuple(constraints), derived
        self.multipliers = [each for each in self.constraints if isinstance(each, Multiplier)]
        if self.multipliers and derived is None:
            raise ValueError("multipliers adapt to the derived architecture: give its costs")

    def __call__(self, output: Any, target: Any, arch: Arch) -> Tensor:
        """Scalar, differentiable in the output and in ``arch`` (what the supernet realised)."""
        loss = self.task.loss(output, target)
        for constraint in self.constraints:
            loss = loss + constraint.penalty(arch).to(loss)
        return loss

    def adapt(self, arch: Arch) -> dict[str, Tensor]:
        """Move the multipliers by what would be derived from ``arch``, the policy's probabilities.

        Returns ``derived/<cost>`` relative to its limit and ``multiplier/<cost>``, each a scalar;
        nothing where no multiplier adapts.
        """
        if not self.multipliers or self.derived is None:
            return {}
        costs = self.derived(arch)
        seen: dict[str, Tensor] = {}
        for multiplier in self.multipliers:
            name = multiplier.cost.name
            multiplier.adapt(costs[name])
            seen[f"derived/{name}"] = torch.tensor(costs[name] / multiplier.target)
            seen[f"multiplier/{name}"] = torch.tensor(multiplier.weight)
        return seen

    def state_dict(self) -> dict[str, tuple[float, float]]:
        """The multipliers and the excesses that they saw last, by the name of their cost."""
        return {each.cost.name: (each.value, each.excess) for each in self.multipliers}

    def load_state_dict(self, state: Mapping[str, tuple[float, float]]) -> None:
        """Restore what ``state_dict`` gave; multipliers that are new begin at 0."""
        for each in self.multipliers:
            each.value, each.excess = state.get(each.cost.name, (0.0, 0.0))
