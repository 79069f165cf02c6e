"""Stages that let in one candidate after the other (CNAS, arXiv 2007.07197)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nas.batch import Batch
from nas.decision import Candidate
from nas.errors import ConfigError
from nas.policies import Policy
from nas.strategies.base import Phase, Step, Update
from nas.strategies.growth import Grown, growths
from nas.supernet import Supernet


class Curriculum:
    """An update rule in stages, each of which opens more of the policy's mask than the one before.

    Every stage runs all phases of the rule over its share of the epochs, so that a rule's warm-up
    comes back in every stage: the operation warm-up, in which the weights of new candidates learn
    before the policy is asked about them. Weights, policy and optimizers go on from stage to stage.

    Args:
        update: the rule that moves weights and policy.
        policy: whose mask is opened; what it forbids now stays so.
        supernet: of the policy's decisions.
        grow: ``operations``, or ``nodes``: from which nodes a node may take its inputs.
        stages: how many; None makes one for each candidate of the longest decision, but no more
            than there are epochs; 1 lets everything in at once, the paper's fixed space.
        first: candidates that come first, in this order, the others in an order drawn from the
            seed; None takes the first with weights (``sep_conv_3x3`` on DARTS, as released).
        seed: of the order.

    Raises:
        ConfigError: for nothing that could grow, and settings out of range.
    """

    def __init__(
        self,
        update: Update,
        policy: Policy,
        supernet: Supernet,
        *,
        grow: Grown = "operations",
        stages: int | None = None,
        first: Sequence[Candidate] | None = None,
        seed: int = 0,
    ) -> None:
        whole = isinstance(stages, int) and not isinstance(stages, bool) and stages >= 1
        if stages is not None and not whole:
            raise ConfigError(
                f"strategy.curriculum.stages must be a whole number above 0, or null, got {stages}"
            )
        self.update, self.policy = update, policy
        self.growths = growths(policy, supernet, grow, first, seed)
        self.wanted, self.opened = stages, -1
        self._open(0, stages or 2)

    @property
    def longest(self) -> int:
        """As many stages as let in one candidate each where there are most."""
        return 1 + max(len(each.order) - each.least for each in self.growths.values())

    def stages(self, epochs: int) -> int:
        """How many stages there are in so many epochs; raises ConfigError for too few epochs."""
        if self.wanted is None:
            return min(self.longest, max(1, epochs))
        if self.wanted > epochs:
            raise ConfigError(
                f"strategy.curriculum.stages={self.wanted} needs as many epochs, got "
                f"trainer.epochs={epochs}; lower the one or raise the other"
            )
        return self.wanted

    def phases(self, epochs: int) -> Sequence[Phase]:
        """Those of the update in every stage, each stage of nearly equally many epochs."""
        count = self.stages(epochs)
        edges = [epochs * stage // count for stage in range(count + 1)]
        return [
            replace(phase, name=_named(stage, count, phase), step=self._staged(stage, count, phase))
            for stage in range(count)
            for phase in self.update.phases(edges[stage + 1] - edges[stage])
        ]

    def _staged(self, stage: int, stages: int, phase: Phase) -> Step:
        return partial(self._step, stage, stages, phase.step)

    def _step(self, stage: int, stages: int, step: Step, *batches: Batch) -> Mapping[str, Tensor]:
        """A step of a stage; returns its metrics, and how many candidates a decision has."""
        if stage > self.opened:
            self._open(stage, stages)
            self.opened = stage
        return {**step(*batches), "curriculum/candidates": self._candidates}

    def _open(self, stage: int, stages: int) -> None:
        """Allow what a stage allows; nothing is closed that a stage has opened."""
        for name, growth in self.growths.items():
            mask = growth.allowed(stage, stages)
            self.policy.set_mask(name, mask | self.policy.mask(name) if self.opened >= 0 else mask)
        self._count()

    def _count(self) -> None:
        """Note how many candidates are allowed now, mean over the decisions that grow."""
        counts = [self.policy.mask(name).sum(-1).float().mean() for name in self.growths]
        self._candidates = torch.stack(counts).mean()

    def state_dict(self) -> dict[str, Any]:
        """The update's, with the policy's mask, and the last stage that was opened."""
        return {"update": self.update.state_dict(), "opened": self.opened}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.update.load_state_dict(state["update"])
        self.opened = int(state["opened"])
        self._count()


def _named(stage: int, stages: int, phase: Phase) -> str:
    return phase.name if stages == 1 else f"{stage + 1} {phase.name}"
