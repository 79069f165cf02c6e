"""A strategy of your own: its update rule; conf/strategy/my_strategy.yaml adds the other parts.

nas search --config-dir conf strategy=my_strategy 'plugins=[my_strategy]' preset=smoke
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from nas.strategies import Phase
from nas.strategies.architecture_step import architecture_step


@dataclass
class MyStrategy:
    """For each batch a step of the policy on held-out data, then one of the weights."""

    supernet: Any  # called with inputs and an architecture; its parameters are the weights
    policy: Any  # policy().arch is that architecture; it owns the logits
    objective: Any  # the task's loss and the penalties of the budget
    weights_optimizer: torch.optim.Optimizer
    architecture_optimizer: torch.optim.Optimizer
    autocast: Any = nullcontext
    clip: float = 5.0  # a setting of yours: strategy.update.clip

    def phases(self, epochs: int) -> list[Phase]:
        """One phase; its two streams are disjoint halves of the training data."""
        return [Phase("search", epochs, ("weights", "architecture"), self.step)]

    def step(self, train: Any, held_out: Any) -> dict[str, torch.Tensor]:
        """Move policy and weights; what is returned is averaged over the epoch and plotted."""
        loss = self._loss(held_out, self.policy().arch)
        gradients = torch.autograd.grad(loss, list(self.policy.parameters()), allow_unused=True)
        architecture_step(self.policy, self.architecture_optimizer, gradients)
        fit = self._loss(train, self.policy().detach().arch)
        self.weights_optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(fit)
        torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), self.clip)
        self.weights_optimizer.step()
        return {"loss/architecture": loss.detach(), "loss/weights": fit.detach()}

    def _loss(self, batch: Any, arch: Any) -> torch.Tensor:
        with self.autocast():
            output = self.supernet(batch.inputs, arch)
        loss: torch.Tensor = self.objective(output, batch.targets, self.supernet.realised())
        return loss

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed search needs."""
        names = ("supernet", "policy", "weights_optimizer", "architecture_optimizer")
        return {name: getattr(self, name).state_dict() for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        for name, saved in state.items():
            getattr(self, name).load_state_dict(saved)
