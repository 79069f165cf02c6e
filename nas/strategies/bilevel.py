"""Alternating optimization of weights and architecture (DARTS, arXiv 1806.09055)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.batch import Batch
from nas.errors import ConfigError
from nas.objectives import Objective
from nas.policies import Policy
from nas.relaxations import capturable
from nas.strategies.architecture_step import architecture_step
from nas.strategies.base import Phase
from nas.strategies.optimizers import load_optimizer, obstacle_of
from nas.strategies.unrolled import Losses, SgdState, unrolled_gradient
from nas.supernet import Supernet

Autocast = Callable[[], AbstractContextManager[Any]]


class Bilevel:
    """Per batch: an architecture step on validation data, then a weight step on training data.

    PC-DARTS (arXiv 1907.05737) is this with partial channels, edge weights and a warm-up. Only the
    gradients that a step needs are computed: none of the weights in a first-order architecture
    step, none of the logits in a weight step.

    Args:
        supernet: its parameters are the weights.
        policy: owns the architecture parameters.
        objective: task loss plus penalties; the weight step uses the task loss alone.
        weights_optimizer: over ``supernet.parameters()``; SGD without Nesterov for ``order=2``.
        architecture_optimizer: over ``policy.parameters()``.
        order: 1 takes the gradient at the current weights, 2 through one unrolled step.
        warmup: share of the epochs in which only the weights move (15 of 50 in PC-DARTS).
        pretrain: share of the epochs before that in which only the weights move, those of the whole
            network: its nested decisions are in full.
        clip: maximal norm of the weights' gradient.
        architecture_clip: maximal norm of the architecture's gradient, or None.
        bn_lookahead: which forwards of a second-order architecture step update the statistics of
            batch normalization: ``official`` all but the one at the stepped weights, as the
            released code does; ``none`` not one. (The only forward of a first-order step does.)
        autocast: context of every forward (bf16).
    """

    def __init__(
        self,
        supernet: Supernet,
        policy: Policy,
        objective: Objective,
        weights_optimizer: torch.optim.Optimizer,
        architecture_optimizer: torch.optim.Optimizer,
        *,
        order: int = 1,
        warmup: float = 0.0,
        pretrain: float = 0.0,
        clip: float = 5.0,
        architecture_clip: float | None = None,
        bn_lookahead: Literal["official", "none"] = "official",
        autocast: Autocast = nullcontext,
    ) -> None:
        if order not in (1, 2):
            raise ConfigError(f"strategy.update.order must be 1 or 2, got {order}")
        for name, share in (("warmup", warmup), ("pretrain", pretrain)):
            if not 0.0 <= share < 1.0:
                raise ConfigError(
                    f"strategy.update.{name} is a share from 0 to below 1, got {share}"
                )
        if warmup + pretrain >= 1.0:
            raise ConfigError(
                f"strategy.update.pretrain={pretrain:g} and warmup={warmup:g} leave the policy no "
                "epoch; lower one of them"
            )
        self._nested = {n for n, d in policy.decisions.items() if d.kind == "nested"}
        if pretrain and not self._nested:
            raise ConfigError(
                f"strategy.update.pretrain={pretrain:g} trains the network before its compression, "
                "and no decision here is one of compression; leave it out, or set compression=prune"
            )
        if bn_lookahead not in ("official", "none"):
            raise ConfigError(f"bn_lookahead must be 'official' or 'none', got {bn_lookahead!r}")
        if order == 2 and not _plain_sgd(weights_optimizer):
            raise ConfigError(
                "strategy.update.order=2 unrolls a step of SGD with momentum; "
                "use optim.weights=torch.optim.SGD without nesterov and dampening"
            )
        self.supernet, self.policy, self.objective = supernet, policy, objective
        self.weights_optimizer = weights_optimizer
        self.architecture_optimizer = architecture_optimizer
        self.order, self.warmup, self.pretrain, self.clip = order, warmup, pretrain, clip
        self.architecture_clip, self.bn_lookahead = architecture_clip, bn_lookahead
        self.autocast = autocast
        self._weights = list(supernet.parameters())  # a walk over all modules: made once

    def phases(self, epochs: int) -> Sequence[Phase]:
        """The whole network and a warm-up of the weights, if any, then the alternating search."""
        before, frozen = round(self.pretrain * epochs), round(self.warmup * epochs)
        pretrain = Phase("pretrain", before, ("weights",), self.pretrain_step)
        warmup = Phase("warmup", frozen, ("weights",), self.weights_step)
        rest = epochs - before - frozen
        search = Phase("search", rest, ("weights", "architecture"), self.step)
        return [phase for phase in (pretrain, warmup, search) if phase.epochs > 0]

    def step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        """An architecture step on ``held_out``, then a weight step on ``train``."""
        metrics = self.architecture_step(train, held_out)
        return {**metrics, **self.weights_step(train)}

    def architecture_step(self, train: Batch, held_out: Batch) -> Mapping[str, Tensor]:
        """Move the policy only; returns ``loss/architecture`` and the task's metrics.

        ``train`` is used in second order alone.
        """
        parameters = list(self.policy.parameters())
        seen = self.objective.adapt(self.policy.probabilities())
        arch = self.policy().arch
        if self.order == 1:
            with without_gradients(self._weights):
                loss = self._architecture_loss(held_out, arch, self._forward, seen)
                gradients: Sequence[Tensor | None] = torch.autograd.grad(
                    loss, parameters, allow_unused=True
                )
        else:
            gradients = self._second_order(train, held_out, arch, parameters, seen)
        architecture_step(
            self.policy, self.architecture_optimizer, gradients, self.architecture_clip
        )
        return seen

    def weights_step(self, train: Batch) -> Mapping[str, Tensor]:
        """Move the weights only; returns ``loss/weights`` and the task's metrics."""
        with torch.no_grad():
            arch = self.policy().detach().arch
        return self._descend(train, arch)

    def pretrain_step(self, train: Batch) -> Mapping[str, Tensor]:
        """As ``weights_step``, with nested decisions in full."""
        with torch.no_grad():
            arch = self.policy().detach().arch
        return self._descend(train, {n: w for n, w in arch.items() if n not in self._nested})

    def _descend(self, train: Batch, arch: Arch) -> Mapping[str, Tensor]:
        output = self._forward(train.inputs, arch)
        loss = self.objective.task.loss(output, train.targets)
        self.weights_optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._weights, self.clip)
        self.weights_optimizer.step()
        return {"loss/weights": loss.detach(), **self._metrics("weights", output, train.targets)}

    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Of the weights and of the architecture."""
        return [self.weights_optimizer, self.architecture_optimizer]

    def obstacle(self) -> str | None:
        """Why its steps cannot be captured as a CUDA graph as things are; None if they can."""
        if type(self) is not Bilevel:
            return f"{type(self).__name__} does not say that its steps can be captured"
        if self.order == 2:
            return "a second-order step lends the network other weights"
        if not capturable(self.policy):
            return f"{type(self.policy).__name__} draws or chooses on the host"
        if self.policy.held():
            return "some candidates are masked"
        if self.objective.constraints:
            return "the costs of a budget are read from the host"
        return obstacle_of(self.optimizers())

    def _forward(self, inputs: Any, arch: Arch) -> Any:
        with self.autocast():
            return self.supernet(inputs, arch)

    def _architecture_loss(
        self,
        batch: Batch,
        arch: Arch,
        forward: Callable[[Any, Arch], Any],
        seen: dict[str, Tensor],
    ) -> Tensor:
        output = forward(batch.inputs, arch)
        loss: Tensor = self.objective(output, batch.targets, self.supernet.realised())
        seen["loss/architecture"] = loss.detach()
        seen.update(self._metrics("architecture", output, batch.targets))
        return loss

    def _metrics(self, part: str, output: Any, targets: Any) -> dict[str, Tensor]:
        with torch.no_grad():
            found = self.objective.task.metrics(output, targets)
        return {f"{name}/{part}": value.detach() for name, value in found.items() if name != "loss"}

    def _second_order(
        self,
        train: Batch,
        held_out: Batch,
        arch: Arch,
        parameters: Sequence[Tensor],
        seen: dict[str, Tensor],
    ) -> Sequence[Tensor | None]:
        names = [name for name, _ in self.supernet.named_parameters()]
        weights = [parameter for _, parameter in self.supernet.named_parameters()]
        live = self.bn_lookahead == "official"

        def call(values: Sequence[Tensor], keep_buffers: bool) -> Callable[[Any, Arch], Any]:
            state = dict(zip(names, values, strict=True))
            if not keep_buffers:
                state.update({k: b.clone() for k, b in self.supernet.named_buffers()})
            return lambda inputs, arch: self._functional(state, inputs, arch)

        def train_loss(values: Sequence[Tensor]) -> Tensor:
            # The penalties do not depend on the weights, so the task loss alone is unrolled.
            output = call(values, live)(train.inputs, arch)
            return self.objective.task.loss(output, train.targets)

        def look_ahead_loss(values: Sequence[Tensor]) -> Tensor:
            return self._architecture_loss(held_out, arch, call(values, False), seen)

        losses = Losses(train_loss, look_ahead_loss, train_loss)
        return unrolled_gradient(losses, weights, parameters, self._sgd(weights))

    def _functional(self, state: dict[str, Tensor], inputs: Any, arch: Arch) -> Any:
        with self.autocast():
            return torch.func.functional_call(self.supernet, state, (inputs, arch))

    def _sgd(self, weights: Sequence[Tensor]) -> SgdState:
        group = self.weights_optimizer.param_groups[0]
        state = self.weights_optimizer.state
        buffers = [state[w].get("momentum_buffer") if w in state else None for w in weights]
        return SgdState(group["lr"], group["momentum"], group["weight_decay"], buffers)

    def state_dict(self) -> dict[str, Any]:
        """Weights, policy and both optimizers."""
        return {
            "supernet": self.supernet.net.state_dict(),
            "policy": self.policy.state_dict(),
            "weights_optimizer": self.weights_optimizer.state_dict(),
            "architecture_optimizer": self.architecture_optimizer.state_dict(),
            "objective": self.objective.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.supernet.net.load_state_dict(state["supernet"])
        self.policy.load_state_dict(state["policy"])
        load_optimizer(self.weights_optimizer, state["weights_optimizer"])
        load_optimizer(self.architecture_optimizer, state["architecture_optimizer"])
        self.objective.load_state_dict(state.get("objective", {}))  # of before there was one


@contextmanager
def without_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Forwards and backwards inside know nothing of gradients of ``parameters``."""
    switched = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in switched:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in switched:
            parameter.requires_grad_(True)


def _plain_sgd(optimizer: torch.optim.Optimizer) -> bool:
    return isinstance(optimizer, torch.optim.SGD) and not any(
        group["nesterov"] or group["dampening"] for group in optimizer.param_groups
    )
