"""Training of a supernet's weights along single paths (SPOS, arXiv 1904.00420)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nas.batch import Batch
from nas.errors import ConfigError
from nas.objectives import Objective
from nas.policies import Policy, Sample, Uniform
from nas.strategies.base import Phase
from nas.strategies.optimizers import load_optimizer
from nas.strategies.path_descent import PathDescent
from nas.supernet import Supernet


class SinglePath:
    """Per batch: one step of the weights on a sampled path; the policy learns nothing.

    What no path of a step uses has no gradient, so that its weights, momentum and decay stand
    still. The architecture is found afterwards, by the strategy's derivation.

    Args:
        supernet: its parameters are the weights.
        policy: hands out k-hot weights, usually ``Uniform``.
        objective: of which the task's loss is used.
        weights_optimizer: over ``supernet.parameters()``.
        fair: per batch as many paths as a decision has candidates, which together take each
            candidate once; their gradients are added up for one step (FairNAS, arXiv 1907.01845,
            algorithm 1). False takes one path (SPOS, arXiv 1904.00420, eq. 7).
        pretrain: share of the epochs before, in which nested decisions are left unbound, so that
            their owners run in full: the network before its compression.
        clip: maximal norm of the weights' gradient.
        autocast: context of every forward (bf16).
        architecture_optimizer: refused; whoever gives one has a policy that should learn.

    Raises:
        ConfigError: the policy has parameters, cannot deal out fair paths, or has no nested
            decision for ``pretrain`` to leave out, which is a share.
    """

    def __init__(
        self,
        supernet: Supernet,
        policy: Policy,
        objective: Objective,
        weights_optimizer: torch.optim.Optimizer,
        *,
        fair: bool = False,
        pretrain: float = 0.0,
        clip: float = 5.0,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        architecture_optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        given = type(policy).__name__
        if architecture_optimizer is not None:
            raise ConfigError(
                f"nas.strategies.SinglePath moves no architecture parameters and {given} has some; "
                "use strategy.policy._target_=nas.policies.Uniform"
            )
        if fair and not isinstance(policy, Uniform):
            raise ConfigError(
                f"strategy.update.fair=true deals out paths of nas.policies.Uniform, got {given}"
            )
        if not 0.0 <= pretrain <= 1.0:
            raise ConfigError(f"strategy.update.pretrain is a share from 0 to 1, got {pretrain}")
        self._nested = {n for n, d in policy.decisions.items() if d.kind == "nested"}
        if pretrain and not self._nested:
            raise ConfigError(
                f"strategy.update.pretrain={pretrain:g} trains the network before its compression, "
                "and no decision here is one of compression; leave it out, or set compression=prune"
            )
        self.supernet, self.policy, self.objective = supernet, policy, objective
        self.weights_optimizer, self.fair, self.pretrain = weights_optimizer, fair, pretrain
        self._descend = PathDescent(supernet, objective.task, weights_optimizer, clip, autocast)

    def phases(self, epochs: int) -> Sequence[Phase]:
        """The training in full, if any, then the one on paths; on the training half alone."""
        before = round(self.pretrain * epochs)
        pretrain = Phase("pretrain", before, ("weights",), self.pretrain_step)
        search = Phase("search", epochs - before, ("weights",), self.weights_step)
        return [phase for phase in (pretrain, search) if phase.epochs > 0]

    def pretrain_step(self, train: Batch) -> Mapping[str, Tensor]:
        """Move the weights of a path whose nested decisions are in full; as ``weights_step``."""
        with torch.no_grad():
            path = self.policy().detach()
        arch = {name: w for name, w in path.arch.items() if name not in self._nested}
        return self._descend(train, [replace(path, arch=arch)])

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        """Move the weights; returns ``loss/weights`` and the task's metrics, means over paths."""
        return self._descend(train, self._paths())

    def _paths(self) -> Sequence[Sample]:
        if self.fair and isinstance(self.policy, Uniform):
            return self.policy.fair()
        with torch.no_grad():
            return [self.policy().detach()]

    def state_dict(self) -> dict[str, Any]:
        """Weights, the policy with its generator, and the optimizer."""
        return {
            "supernet": self.supernet.net.state_dict(),
            "policy": self.policy.state_dict(),
            "weights_optimizer": self.weights_optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.supernet.net.load_state_dict(state["supernet"])
        self.policy.load_state_dict(state["policy"])
        load_optimizer(self.weights_optimizer, state["weights_optimizer"])
