"""A policy that learns from rewards of sampled paths (ENAS, arXiv 1802.03268)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from nas.batch import Batch
from nas.errors import ConfigError
from nas.objectives import Objective
from nas.policies import Sample, SampledPolicy
from nas.strategies.architecture_step import architecture_step
from nas.strategies.base import Phase
from nas.strategies.optimizers import load_optimizer
from nas.strategies.path_descent import PathDescent
from nas.supernet import Supernet

METRIC, ENTROPY = "the metric", "the entropy"
"""Parts of a reward; the others have the names of costs."""


class Reinforce:
    """Per batch: a policy gradient on held-out data, then a step of the weights on a sampled path.

    The reward of a path a is the task's primary metric m on a held-out batch, its sign turned where
    less is better, without what the budget adds to a loss:

        ``R(a) = m(a) - sum_k w_k (cost_k(a) / limit_k - 1)``

    with the multipliers w of the objective, which adapt to what the policy would derive; a fixed
    weight counts the excess alone. The policy ascends ``E[R] + entropy * H`` by the score function
    (Williams 1992) with a baseline b:

        ``mean_m (R_m + entropy * H_m - b) grad log p(a_m) + entropy * grad H_m``

    where ``H_m`` is the sample's entropy, so that both ways in which the expected entropy depends
    on the policy are followed. The baseline is put together from moving averages of the metric, of
    each relative excess and of the entropy, so that it follows a multiplier at once. No gradient
    goes through the network.

    Args:
        supernet: its parameters are the weights.
        policy: draws paths and tells their log-probabilities, such as ``Controller``.
        objective: the task and the budget's constraints.
        weights_optimizer: over ``supernet.parameters()``.
        architecture_optimizer: over ``policy.parameters()``.
        warmup: share of the epochs in which the weights learn on uniform paths and the policy not.
        samples: paths whose gradients are averaged in a step of the policy, on one batch.
        entropy: weight of the entropy, in units of the reward per nat.
        momentum: of the moving averages; the first step's means begin them.
        clip: maximal norm of the weights' gradient.
        architecture_clip: maximal norm of the policy's gradient, or None.
        autocast: context of every forward (bf16).

    Raises:
        ConfigError: for a policy that tells no log-probabilities, and numbers out of range.
    """

    def __init__(
        self,
        supernet: Supernet,
        policy: SampledPolicy,
        objective: Objective,
        weights_optimizer: torch.optim.Optimizer,
        architecture_optimizer: torch.optim.Optimizer,
        *,
        warmup: float = 0.0,
        samples: int = 1,
        entropy: float = 1e-4,
        momentum: float = 0.99,
        clip: float = 5.0,
        architecture_clip: float | None = 5.0,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        if not isinstance(policy, SampledPolicy):
            raise ConfigError(
                "nas.strategies.Reinforce learns from log-probabilities of sampled paths, which "
                f"{type(policy).__name__} does not tell; use "
                "strategy.policy._target_=nas.policies.Controller"
            )
        _check(warmup, samples, entropy, momentum)
        self.supernet, self.policy, self.objective = supernet, policy, objective
        self.weights_optimizer = weights_optimizer
        self.architecture_optimizer = architecture_optimizer
        self.warmup, self.samples, self.entropy = warmup, samples, entropy
        self.momentum, self.architecture_clip = momentum, architecture_clip
        self.autocast = autocast
        self._averages: dict[str, Tensor] = {}
        self._descend = PathDescent(supernet, objective.task, weights_optimizer, clip, autocast)

    def phases(self, epochs: int) -> Sequence[Phase]:
        """A warm-up of the weights on uniform paths, if any, then the alternating search."""
        first = round(self.warmup * epochs)
        warmup = Phase("warmup", first, ("weights",), self.warmup_step)
        search = Phase("search", epochs - first, ("weights", "architecture"), self.step)
        return [phase for phase in (warmup, search) if phase.epochs > 0]

    def step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        """A step of the policy on ``held_out``, then one of the weights on ``train``."""
        return {**self.policy_step(held_out), **self.weights_step(train)}

    def warmup_step(self, train: Batch) -> Mapping[str, Tensor]:
        """Move the weights on a uniform path; the policy's parameters have no part in it."""
        return self._descend(train, [self.policy.uniform()])

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        """Move the weights on a path of the policy; returns ``loss/weights`` and metrics."""
        with torch.no_grad():
            path = self.policy()
        return self._descend(train, [path])

    def policy_step(self, held_out: Batch) -> Mapping[str, Tensor]:
        """Move the policy only.

        Returns the ``reward`` and the ``baseline`` that it was compared with, both with what the
        entropy adds, ``log_prob`` and ``entropy`` of the sample, the task's loss and metrics; means
        where there are several samples.
        """
        adapted = self._adapted()
        paths, parts, seen = zip(
            *(self._judged(held_out) for _ in range(self.samples)), strict=True
        )
        reward, baseline = self._compared(_stacked(parts))
        log_prob = torch.stack([path.log_prob for path in paths])
        entropy = torch.stack([path.entropy for path in paths])
        gain = ((reward - baseline) * log_prob + self.entropy * entropy).mean()
        gradients = torch.autograd.grad(-gain, list(self.policy.parameters()), allow_unused=True)
        architecture_step(
            self.policy, self.architecture_optimizer, gradients, self.architecture_clip
        )
        told = {**_stacked(seen), "reward": reward, "log_prob": log_prob, "entropy": entropy}
        means = {name: values.detach().mean() for name, values in told.items()}
        return {**adapted, **means, "baseline": baseline}

    def _adapted(self) -> Mapping[str, Tensor]:
        """Move the multipliers, if there are any."""
        if not self.objective.multipliers:
            return {}
        return self.objective.adapt(self.policy.probabilities())

    def _judged(self, held_out: Batch) -> tuple[Sample, dict[str, Tensor], dict[str, Tensor]]:
        """A path of the policy, the parts of its reward, and its loss and metrics."""
        path, task = self.policy(), self.objective.task
        with torch.no_grad():
            with self.autocast():
                output = self.supernet(held_out.inputs, path.arch)
            metrics = task.metrics(output, held_out.targets)
            realised = self.supernet.realised()
            parts = {METRIC: metrics[task.primary], ENTROPY: path.entropy} | {
                each.cost.name: each.relative(realised) for each in self.objective.constraints
            }
            seen = {f"{name}/architecture": value for name, value in metrics.items()}
            seen["loss/architecture"] = task.loss(output, held_out.targets)
        return path, {name: each.detach().to(path.log_prob) for name, each in parts.items()}, seen

    def _compared(self, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The rewards (samples,) and their baseline, both put together from ``parts``."""
        task = self.objective.task
        weights = {METRIC: 1.0 if task.higher_is_better[task.primary] else -1.0}
        weights |= {ENTROPY: self.entropy}
        weights |= {each.cost.name: -each.weight for each in self.objective.constraints}
        means = {name: values.mean() for name, values in parts.items()}
        before = {name: self._averages.get(name, mean) for name, mean in means.items()}
        self._averages = {
            name: self.momentum * before[name] + (1 - self.momentum) * mean
            for name, mean in means.items()
        }
        reward = torch.stack([weight * parts[name] for name, weight in weights.items()]).sum(0)
        baseline = torch.stack([weight * before[name] for name, weight in weights.items()]).sum()
        return reward, baseline

    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Of the weights and of the policy."""
        return [self.weights_optimizer, self.architecture_optimizer]

    def state_dict(self) -> dict[str, Any]:
        """Weights, the policy with its generator, both optimizers, multipliers and averages."""
        return {
            "supernet": self.supernet.net.state_dict(),
            "policy": self.policy.state_dict(),
            "weights_optimizer": self.weights_optimizer.state_dict(),
            "architecture_optimizer": self.architecture_optimizer.state_dict(),
            "objective": self.objective.state_dict(),
            "averages": dict(self._averages),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.supernet.net.load_state_dict(state["supernet"])
        self.policy.load_state_dict(state["policy"])
        load_optimizer(self.weights_optimizer, state["weights_optimizer"])
        load_optimizer(self.architecture_optimizer, state["architecture_optimizer"])
        self.objective.load_state_dict(state["objective"])
        device = next(self.policy.parameters()).device
        self._averages = {name: value.to(device) for name, value in state["averages"].items()}


def _stacked(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _check(warmup: float, samples: int, entropy: float, momentum: float) -> None:
    if not 0.0 <= warmup < 1.0:
        raise ConfigError(f"strategy.update.warmup is a share from 0 to below 1, got {warmup}")
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        raise ConfigError(
            f"strategy.update.samples must be a whole number of at least 1, got {samples!r}"
        )
    if not 0.0 <= entropy < float("inf"):
        raise ConfigError(f"strategy.update.entropy must be a number of at least 0, got {entropy}")
    if not 0.0 <= momentum < 1.0:
        raise ConfigError(f"strategy.update.momentum is a share from 0 to below 1, got {momentum}")
