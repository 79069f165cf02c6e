"""The contract of a policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nas.arch import Arch, detach
from nas.decision import Decision


@dataclass(frozen=True)
class Sample:
    """What a policy hands out for one forward.

    Attributes:
        arch: weights of every decision.
        log_prob: log-probability of the sample, scalar; 0 where gradients flow through the weights.
        entropy: entropy of the policy's distribution, scalar, in nats; 0 likewise.
    """

    arch: Arch
    log_prob: Tensor
    entropy: Tensor

    def detach(self) -> Sample:
        """The same sample, outside the graph."""
        return Sample(detach(self.arch), self.log_prob.detach(), self.entropy.detach())


def plain_sample(arch: Arch) -> Sample:
    """A sample whose gradient, if any, flows through its weights."""
    return Sample(arch, torch.zeros(()), torch.zeros(()))


@runtime_checkable
class Policy(Protocol):
    """An ``nn.Module`` that owns all architecture parameters and none of the weights."""

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """What it hands out weights for."""
        ...

    def __call__(self) -> Sample:
        """Weights for the next forward; sampled ones advance the policy's own generator."""
        ...

    def probabilities(self) -> Arch:
        """The noise-free distribution over candidates: what a genotype is derived from."""
        ...

    def mask(self, name: str) -> Tensor:
        """Candidates of a decision that are allowed, bool (groups, n), on the CPU."""
        ...

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Allow some candidates of a decision; raises ConfigError if too few to pick remain."""
        ...

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters of which a part is masked, with the bool tensor of what may change."""
        ...

    def take_reset(self) -> list[nn.Parameter]:
        """Parameters whose mask changed since the last call: their optimizer state must go."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All architecture parameters."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed search needs: parameters, masks, random state."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Restore what ``state_dict`` gave."""
        ...


@runtime_checkable
class SampledPolicy(Policy, Protocol):
    """A policy that draws one-hot weights and learns through the ``log_prob`` of its samples."""

    def uniform(self) -> Sample:
        """A path drawn uniformly from the allowed candidates, whatever the policy has learnt."""
        ...
