"""Logits that are a function of a number that the policy is told: the target of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies.base import Policy, Sample
from nas.policies.free_logits import FreeLogits
from nas.relaxations import Relaxation


@runtime_checkable
class Conditional(Policy, Protocol):
    """A policy whose distribution depends on a number.

    Attributes:
        condition: what it is told now; part of its state.
    """

    condition: float


def conditional(policy: Policy) -> Conditional:
    """The policy; raises ConfigError for one that cannot be told a condition."""
    if not isinstance(policy, Conditional):
        raise ConfigError(
            f"{type(policy).__name__} has no condition that a target could be told by; use "
            "strategy.policy._target_=nas.policies.ConditionalLogits"
        )
    return policy


class ConditionalLogits(nn.Module):
    """Free logits moved by a small network of the condition t, such as a target share of a cost.

        ``alpha(t) = A + U tanh(w t + b)``

    ``A`` are the logits that all conditions share, ``U`` the heads, (rows, n, hidden) by stack.
    Hidden unit j begins as ``tanh(hidden t - j - 1/2)``, so that the units switch at evenly spaced
    conditions between 0 and 1, and ``U`` as 0: at first no condition differs from another.

    Args:
        decisions, relaxation, init_std, seed: of `FreeLogits`.
        hidden: units, and so how finely conditions can be told apart.

    Attributes:
        condition: t, 1 at first.

    Raises:
        ConfigError: for a number of units that is no whole number above 0, and as `FreeLogits`.
    """

    def __init__(
        self,
        decisions: Mapping[str, Decision],
        relaxation: Relaxation,
        hidden: int = 8,
        init_std: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, int) or isinstance(hidden, bool) or hidden < 1:
            raise ConfigError(
                f"strategy.policy.hidden must be a whole number above 0, got {hidden!r}"
            )
        self.decisions, self.condition = dict(decisions), 1.0
        self.shared = FreeLogits(decisions, relaxation, init_std, seed=seed)
        self.slopes = nn.Parameter(torch.full((hidden,), float(hidden)))
        self.offsets = nn.Parameter(-torch.arange(hidden) - 0.5)
        self.heads = nn.ParameterDict(
            {
                key: nn.Parameter(torch.zeros(*logits.shape, hidden))
                for key, logits in self.shared.stacks.items()
            }
        )

    def logits(self) -> dict[str, Tensor]:
        """``alpha`` at the condition: (rows, n) by stack."""
        units = (self.slopes * self.condition + self.offsets).tanh()
        return {key: self.shared.stacks[key] + head @ units for key, head in self.heads.items()}

    def forward(self) -> Sample:
        """Weights of every decision at the condition, (groups, n) each."""
        return self.shared.relaxed(self.logits())

    def probabilities(self) -> Arch:
        """Softmax over allowed candidates at the condition, (groups, n) each, outside the graph."""
        return self.shared.distribution(self.logits())

    def mask(self, name: str) -> Tensor:
        """Allowed candidates of a decision, bool (groups, n)."""
        return self.shared.mask(name)

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Allow some candidates of a decision; raises ConfigError if too few remain."""
        self.shared.set_mask(name, mask)

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Stacks of which a part is masked, and their heads, with what may change."""
        held, heads = self.shared.held(), self._heads()
        wide = [(heads[p], mask.unsqueeze(-1).expand_as(heads[p])) for p, mask in held]
        return [*held, *wide]

    def take_reset(self) -> list[nn.Parameter]:
        """Stacks whose mask changed since the last call, and their heads."""
        heads = self._heads()
        return [each for p in self.shared.take_reset() for each in (p, heads[p])]

    def _heads(self) -> dict[nn.Parameter, nn.Parameter]:
        return {self.shared.stacks[key]: head for key, head in self.heads.items()}

    def get_extra_state(self) -> dict[str, Any]:
        """The condition."""
        return {"condition": self.condition}

    def set_extra_state(self, state: Any) -> None:
        """Restore what ``get_extra_state`` gave."""
        self.condition = float(state["condition"])
