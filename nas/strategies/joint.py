"""One-level optimization: weights and architecture move by the same loss (ABS, 2101.04935)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.batch import Batch
from nas.errors import ConfigError
from nas.objectives import Objective
from nas.policies import Policy, ThresholdGates
from nas.strategies.architecture_step import architecture_step
from nas.strategies.base import Phase
from nas.strategies.optimizers import load_optimizer
from nas.supernet import Supernet


class Joint:
    """Per batch: one backward, one step of the weights and one of the architecture.

    In the phase ``pretrain`` the nested decisions are left unbound, so that their owners run in
    full: the network before its compression.

    Args:
        supernet: its parameters are the weights.
        policy: owns the architecture parameters.
        objective: task loss plus penalties, of which weights feel the task loss alone.
        weights_optimizer: over ``supernet.parameters()``.
        architecture_optimizer: over ``policy.parameters()``.
        pretrain: share of the epochs before the search.
        turns: endings of decisions' names that learn in turns, one batch each, as in ABS, where the
            gates of weights and of activations are frozen in turn (section 3.4; the paper does not
            say how often they change).
        clip: maximal norm of the weights' gradient.
        autocast: context of every forward (bf16).

    Raises:
        ConfigError: for a share out of range, or turns without thresholds.
    """

    def __init__(
        self,
        supernet: Supernet,
        policy: Policy,
        objective: Objective,
        weights_optimizer: torch.optim.Optimizer,
        architecture_optimizer: torch.optim.Optimizer,
        *,
        pretrain: float = 0.5,
        turns: Sequence[str] = (),
        clip: float = 5.0,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        if not 0.0 <= pretrain < 1.0:
            raise ConfigError(
                f"strategy.update.pretrain is a share from 0 to below 1, got {pretrain}"
            )
        self.supernet, self.policy, self.objective = supernet, policy, objective
        self.weights_optimizer = weights_optimizer
        self.architecture_optimizer = architecture_optimizer
        self.pretrain, self.clip, self.autocast = pretrain, clip, autocast
        self._turns = [self._parameters(turn) for turn in turns]
        self.turn = 0
        self._weights = list(supernet.parameters())

    def phases(self, epochs: int) -> Sequence[Phase]:
        """The training before the search, if any, then the search; on the training half alone."""
        before = round(self.pretrain * epochs)
        pretrain = Phase("pretrain", before, ("weights",), self.pretrain_step)
        search = Phase("search", epochs - before, ("weights",), self.step)
        return [phase for phase in (pretrain, search) if phase.epochs > 0]

    def pretrain_step(self, train: Batch) -> Mapping[str, Tensor]:
        """Move the weights of the network without compression; returns its loss and metrics."""
        nested = {n for n, d in self.policy.decisions.items() if d.kind == "nested"}
        with torch.no_grad():
            arch = {n: w for n, w in self.policy().detach().arch.items() if n not in nested}
        output = self._forward(train, arch)
        loss = self.objective.task.loss(output, train.targets)
        return self._moved(train, output, loss, loss)

    def step(self, train: Batch) -> Mapping[str, Tensor]:
        """One backward, then a step of the weights and one of those whose turn it is."""
        seen = dict(self.objective.adapt(self.policy.probabilities()))
        parameters = list(self.policy.parameters())
        output = self._forward(train, self.policy().arch)
        task = self.objective.task.loss(output, train.targets)
        loss = self.objective(output, train.targets, self.supernet.realised())
        self.architecture_optimizer.zero_grad(set_to_none=True)
        seen |= self._moved(train, output, task, loss)
        still = set().union(*self._turns) - self._turns[self.turn] if self._turns else set()
        gradients = [None if parameter in still else parameter.grad for parameter in parameters]
        architecture_step(self.policy, self.architecture_optimizer, gradients)
        self.turn = (self.turn + 1) % max(1, len(self._turns))
        return {**seen, "loss/architecture": loss.detach()}

    def _forward(self, train: Batch, arch: Arch) -> Any:
        with self.autocast():
            return self.supernet(train.inputs, arch)

    def _moved(self, train: Batch, output: Any, task: Tensor, loss: Tensor) -> dict[str, Tensor]:
        """One backward of ``loss`` and a step of the weights; the task's loss and metrics."""
        self.weights_optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._weights, self.clip)
        self.weights_optimizer.step()
        with torch.no_grad():
            metrics = self.objective.task.metrics(output, train.targets)
        seen = {f"{name}/weights": v.detach() for name, v in metrics.items() if name != "loss"}
        return {"loss/weights": task.detach(), **seen}

    def _parameters(self, turn: str) -> set[nn.Parameter]:
        """The thresholds of the decisions whose names end so."""
        if not isinstance(self.policy, ThresholdGates):
            raise ConfigError(
                f"strategy.update.turns freezes thresholds in turn, and "
                f"{type(self.policy).__name__} has none; set strategy.update.turns=[]"
            )
        names = [name for name in self.policy.decisions if name.endswith(turn)]
        return {self.policy.threshold(name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        """Weights, policy, both optimizers, multipliers, and whose turn it is."""
        return {
            "supernet": self.supernet.net.state_dict(),
            "policy": self.policy.state_dict(),
            "weights_optimizer": self.weights_optimizer.state_dict(),
            "architecture_optimizer": self.architecture_optimizer.state_dict(),
            "objective": self.objective.state_dict(),
            "turn": self.turn,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.supernet.net.load_state_dict(state["supernet"])
        self.policy.load_state_dict(state["policy"])
        load_optimizer(self.weights_optimizer, state["weights_optimizer"])
        load_optimizer(self.architecture_optimizer, state["architecture_optimizer"])
        self.objective.load_state_dict(state["objective"])
        self.turn = int(state["turn"])
