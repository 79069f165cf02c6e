"""One step of the weights along sampled paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from nas.batch import Batch
from nas.policies import Sample
from nas.supernet import Supernet
from nas.tasks import Task


class PathDescent:
    """The gradients along some paths, added up, for one step of the weights.

    What no path of a step uses has no gradient, so that its weights, momentum and decay stand
    still.

    Args:
        supernet: its parameters are the weights.
        task: of loss and metrics.
        optimizer: over the weights.
        clip: maximal norm of the gradient.
        autocast: context of every forward.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        optimizer: torch.optim.Optimizer,
        clip: float,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.supernet, self.task, self.optimizer = supernet, task, optimizer
        self.clip, self.autocast = clip, autocast
        self._weights = list(supernet.parameters())  # a walk over all modules: made once

    def __call__(self, train: Batch, paths: Sequence[Sample]) -> Mapping[str, Tensor]:
        """Move the weights; returns ``loss/weights`` and the task's metrics, means over paths."""
        self.optimizer.zero_grad(set_to_none=True)
        found = [self._backward(train, path) for path in paths]
        nn.utils.clip_grad_norm_(self._weights, self.clip)
        self.optimizer.step()
        return {name: torch.stack([each[name] for each in found]).mean() for name in found[0]}

    def _backward(self, train: Batch, path: Sample) -> dict[str, Tensor]:
        """Add the gradients along one path to the weights'."""
        with self.autocast():
            output = self.supernet(train.inputs, path.arch)
        loss = self.task.loss(output, train.targets)
        torch.autograd.backward(loss)
        with torch.no_grad():
            metrics = self.task.metrics(output, train.targets)
        seen = {f"{name}/weights": v.detach() for name, v in metrics.items() if name != "loss"}
        return {"loss/weights": loss.detach(), **seen}
