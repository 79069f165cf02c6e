"""Supervised training of a plain network, as an update of the one loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nas.batch import Batch
from nas.engine.device import Autocast
from nas.strategies.base import Phase
from nas.strategies.optimizers import load_optimizer, obstacle_of
from nas.tasks import Task


@runtime_checkable
class Auxiliary(Protocol):
    """A network with a second head for training."""

    auxiliary: nn.Module | None

    def forward_with_auxiliary(self, x: Any) -> tuple[Any, Any]:
        """Outputs of the main and of the auxiliary head."""
        ...


@runtime_checkable
class Droppable(Protocol):
    """A network whose edges can be dropped while training."""

    def set_drop_path(self, probability: float) -> None:
        """Set the probability by which edges drop a sample."""
        ...


class Steering(Protocol):
    """What is done to a network's weights around a step, beside the gradient of the loss."""

    def before_forward(self) -> None:
        """Change weights before the forward of a step."""
        ...

    def before_step(self) -> None:
        """Change gradients between the backward, clipped, and the optimizer's step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        ...


class Supervised:
    """One step per batch on the task's loss, plus that of the auxiliary head where there is one.

    Args:
        network: an ordinary module.
        task: gives loss and metrics.
        optimizer: over the network's parameters.
        clip: maximal norm of the gradient (5 in 1806.09055).
        auxiliary_weight: of the auxiliary head's loss (0.4 there).
        autocast: context of every forward (bf16).
        steering: acts on the weights around every step; its own gradients are not clipped.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        *,
        clip: float = 5.0,
        auxiliary_weight: float = 0.4,
        autocast: Autocast = nullcontext,
        steering: Steering | None = None,
    ) -> None:
        self.network, self.task, self.optimizer = network, task, optimizer
        self.clip, self.auxiliary_weight, self.autocast = clip, auxiliary_weight, autocast
        self.steering = steering

    def phases(self, epochs: int) -> Sequence[Phase]:
        """One phase over the stream ``train``."""
        return [Phase("retrain", epochs, ("train",), self.step)]

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Move the weights; returns ``loss/train`` and the task's metrics."""
        self.network.train()
        if self.steering is not None:
            self.steering.before_forward()
        with self.autocast():
            output, loss = self._forward(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        if self.steering is not None:
            self.steering.before_step()
        self.optimizer.step()
        with torch.no_grad():
            found = self.task.metrics(output, batch.targets)
        return {"loss/train": loss.detach(), **{f"{k}/train": v for k, v in found.items()}}

    def _forward(self, batch: Batch) -> tuple[Any, Tensor]:
        if isinstance(self.network, Auxiliary) and self.network.auxiliary is not None:
            output, extra = self.network.forward_with_auxiliary(batch.inputs)
            loss = self.task.loss(output, batch.targets)
            return output, loss + self.auxiliary_weight * self.task.loss(extra, batch.targets)
        output = self.network(batch.inputs)
        return output, self.task.loss(output, batch.targets)

    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """The only one."""
        return [self.optimizer]

    def obstacle(self) -> str | None:
        """Why its steps cannot be captured as a CUDA graph; None if they can."""
        if type(self) is not Supervised:
            return f"{type(self).__name__} does not say that its steps can be captured"
        if self.steering is not None:
            return f"{type(self.steering).__name__} decides on the host what it does at a step"
        return obstacle_of(self.optimizers())

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer, and what steers them where there is such a thing."""
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return state if self.steering is None else {**state, "steering": self.steering.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        if self.steering is not None:
            self.steering.load_state_dict(state["steering"])


class DropPathSchedule:
    """Drop-path probability ``peak * epoch / epochs`` (1806.09055, released code)."""

    def __init__(self, network: Droppable, peak: float, epochs: int) -> None:
        self.network, self.peak, self.epochs = network, peak, epochs

    def on_epoch(self, epoch: int) -> None:
        """Set the probability of this epoch."""
        self.network.set_drop_path(self.peak * epoch / self.epochs)
