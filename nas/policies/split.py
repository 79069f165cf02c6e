"""Several policies in the place of one, each with decisions of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies.base import Policy, Sample


class Split(nn.Module):
    """Hands every decision to the one of its policies that owns it.

    Log-probabilities and entropies of a sample add up, since the policies draw independently.

    Args:
        policies: by name; their decisions are disjoint.

    Raises:
        ConfigError: where two of them own the same decision.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        super().__init__()
        self._owner: dict[str, Policy] = {}
        self.policies = nn.ModuleDict({n: cast(nn.Module, p) for n, p in policies.items()})
        for policy in policies.values():
            for name in policy.decisions:
                if name in self._owner:
                    raise ConfigError(f"decision {name!r} belongs to two policies; give it to one")
                self._owner[name] = policy

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """Those of all policies, policy by policy."""
        return {name: decision for p in self._parts for name, decision in p.decisions.items()}

    @property
    def _parts(self) -> list[Policy]:
        return [cast(Policy, policy) for policy in self.policies.values()]

    def forward(self) -> Sample:
        """Weights of every decision; each policy draws from its own generator."""
        samples = [policy() for policy in self._parts]
        return Sample(
            {name: weights for each in samples for name, weights in each.arch.items()},
            torch.stack([each.log_prob for each in samples]).sum(),
            torch.stack([each.entropy for each in samples]).sum(),
        )

    def probabilities(self) -> Arch:
        """The noise-free distribution over candidates, (groups, n) each."""
        return {n: weights for p in self._parts for n, weights in p.probabilities().items()}

    def mask(self, name: str) -> Tensor:
        """Allowed candidates of a decision, bool (groups, n)."""
        return self._of(name).mask(name)

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Allow some candidates of a decision, where its policy can."""
        self._of(name).set_mask(name, mask)

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Of all policies."""
        return [each for policy in self._parts for each in policy.held()]

    def take_reset(self) -> list[nn.Parameter]:
        """Of all policies."""
        return [each for policy in self._parts for each in policy.take_reset()]

    def _of(self, name: str) -> Policy:
        if name not in self._owner:
            raise ConfigError(f"the policy does not own decision {name!r}")
        return self._owner[name]


def parameter_groups(policy: Policy) -> list[dict[str, Any]]:
    """Groups for the architecture's optimizer: one per part, with the rate that the part asks for.

    A policy asks for one by an attribute ``rate`` that is not None.
    """
    parts = policy._parts if isinstance(policy, Split) else [policy]
    groups = []
    for part in parts:
        rate = getattr(part, "rate", None)
        group: dict[str, Any] = {"params": list(part.parameters())}
        groups.append(group if rate is None else {**group, "lr": float(rate)})
    return [group for group in groups if group["params"]]
