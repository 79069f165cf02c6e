"""One search for several targets: every step serves another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, cast

from torch import Tensor

from nas.batch import Batch
from nas.errors import ConfigError
from nas.objectives import Objective
from nas.policies import Policy, conditional
from nas.strategies.base import Phase, Step, Update
from nas.strategies.targets import check_ladders, checked_shares

OF_TARGET = ("derived/", "multiplier/")  # metrics that are told by target


class Aimed(Update, Protocol):
    """An update with an objective, which may be another one at every step."""

    objective: Objective


class Rotation:
    """An update rule whose steps serve targets in turn.

    For its step the policy is told the target, and the objective is that of the target: the budget
    and this share of a cost as limits, with multipliers of their own. Between steps policy and
    objective are those of the first target.

    Args:
        update: the rule that moves weights and policy.
        policy: of the update, over nested decisions alone; it has a condition.
        objective_at: from a cost and a target to the objective.
        targets: shares of the cost that may be kept.
        cost: of which the targets are shares.

    Raises:
        ConfigError: for a policy without condition, a rule without objective, decisions that are
            not nested, and targets out of range.
    """

    def __init__(
        self,
        update: Update,
        policy: Policy,
        objective_at: Callable[[str, float], Objective],
        *,
        targets: Sequence[float],
        cost: str,
    ) -> None:
        check_ladders(policy.decisions)
        if not hasattr(update, "objective"):
            raise ConfigError(
                f"{type(update).__name__} has no objective that targets could be limits of; use "
                "strategy.update._target_=nas.strategies.Bilevel"
            )
        self.update, self.policy = cast(Aimed, update), conditional(policy)
        self.objectives = {each: objective_at(cost, each) for each in checked_shares(targets)}
        self.targets, self.turn = tuple(self.objectives), 0
        self._face(self.targets[0])

    def phases(self, epochs: int) -> Sequence[Phase]:
        """Those of the update, each step for the target whose turn it is."""
        phases = self.update.phases(epochs)
        return [replace(phase, step=partial(self._step, phase.step)) for phase in phases]

    def _step(self, step: Step, *batches: Batch) -> Mapping[str, Tensor]:
        """A step for one target; limits and multipliers are told by target."""
        target = self.targets[self.turn]
        self._face(target)
        seen = step(*batches)
        self._face(self.targets[0])
        self.turn = (self.turn + 1) % len(self.targets)
        return {
            f"{name}/{target:g}" if name.startswith(OF_TARGET) else name: value
            for name, value in seen.items()
        }

    def _face(self, target: float) -> None:
        self.policy.condition, self.update.objective = target, self.objectives[target]

    def state_dict(self) -> dict[str, Any]:
        """The update's, whose turn it is, and the multipliers of every target."""
        return {
            "update": self.update.state_dict(),
            "turn": self.turn,
            "objectives": [each.state_dict() for each in self.objectives.values()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.update.load_state_dict(state["update"])
        self.turn = int(state["turn"])
        for objective, saved in zip(self.objectives.values(), state["objectives"], strict=True):
            objective.load_state_dict(saved)
