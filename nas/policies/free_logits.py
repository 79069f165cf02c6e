"""One free logit per candidate, relaxed or sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nas.arch import Arch
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies.base import Sample, plain_sample
from nas.policies.stacks import Layout
from nas.relaxations import Relaxation, allowed, capturable, probabilities


class FreeLogits(nn.Module):
    """Logits by decision, one stacked parameter per length, so that a relaxation is one call.

    Args:
        decisions: what to own; a hard decision is refused if the relaxation is soft.
        relaxation: turns logits into weights.
        init_std: logits start as ``init_std * randn`` (1e-3 in DARTS, arXiv 1806.09055).
        seed: of the initial logits and of the policy's own CPU generator.
        rate: learning rate in place of that of ``optim.architecture``; None takes that one.

    Raises:
        ConfigError: for no decision, one that does not suit the relaxation, or a rate not above 0.
    """

    def __init__(
        self,
        decisions: Mapping[str, Decision],
        relaxation: Relaxation,
        init_std: float = 1e-3,
        seed: int = 0,
        rate: float | None = None,
    ) -> None:
        super().__init__()
        hard = [name for name, decision in decisions.items() if not decision.soft]
        if hard and relaxation.soft:
            raise ConfigError(
                f"decision {hard[0]!r} is hard (shapes depend on it) and "
                f"{type(relaxation).__name__} is soft; "
                "use a sampled relaxation such as nas.relaxations.SinglePath"
            )
        if not decisions:
            raise ConfigError(
                "the policy was given no decision; the space has nothing to search: choose another "
                "space=, or give it compression=superbit"
            )
        if rate is not None and not rate > 0:
            raise ConfigError(f"the rate of a policy must be above 0, or null, got {rate}")
        self.rate = rate
        self.decisions, self.relaxation = dict(decisions), relaxation
        self._layout = Layout(decisions)
        self._generator = torch.Generator().manual_seed(seed)
        self.stacks = nn.ParameterDict(
            {
                key: nn.Parameter(init_std * torch.randn(*size, generator=self._generator))
                for key, size in self._layout.sizes.items()
            }
        )
        self._masks = self._layout.masks()
        self._reset: set[str] = set()

    @property
    def capturable(self) -> bool:
        """Whether handing out weights leaves the host out, as its relaxation says."""
        return capturable(self.relaxation)

    def forward(self) -> Sample:
        """Weights of every decision, (groups, n) each."""
        return self.relaxed(dict(self.stacks.items()))

    def probabilities(self) -> Arch:
        """Softmax of the logits over allowed candidates, (groups, n) each, outside the graph."""
        return self.distribution(dict(self.stacks.items()))

    def relaxed(self, stacks: Mapping[str, Tensor]) -> Sample:
        """What ``forward`` hands out if these were the logits: (rows, n) by stack."""
        values: dict[str, Tensor] = {}
        live = {}
        for key, logits in stacks.items():
            values[key], live[key] = self.relaxation(
                logits, self._masks[key], self._layout.picks[key], self._generator
            )
        return plain_sample(self._layout.split(values, live))

    def distribution(self, stacks: Mapping[str, Tensor]) -> Arch:
        """What ``probabilities`` gives if these were the logits: (rows, n) by stack."""
        values = {
            key: probabilities(logits.detach(), self._masks[key]) for key, logits in stacks.items()
        }
        live = {key: allowed(mask) for key, mask in self._masks.items()}
        return self._layout.split(values, live)

    def logits(self, name: str) -> Tensor:
        """The logits (groups, n) of one decision: a view, so that writing to it sets them."""
        return self._layout.view({k: v.data for k, v in self.stacks.items()}, name)

    def mask(self, name: str) -> Tensor:
        """Allowed candidates of a decision, bool (groups, n)."""
        return self._layout.view(self._masks, name).clone()

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Allow some candidates of a decision; raises ConfigError if too few remain."""
        if self._layout.write_mask(self._masks, name, mask):
            self._reset.add(self._layout.rows[name].stack)

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Stacks of which a part is masked, with what may change."""
        return [
            (self.stacks[key], mask) for key, mask in self._masks.items() if not bool(mask.all())
        ]

    def take_reset(self) -> list[nn.Parameter]:
        """Stacks whose mask changed since the last call."""
        taken, self._reset = sorted(self._reset), set()
        return [self.stacks[key] for key in taken]

    def get_extra_state(self) -> dict[str, Any]:
        """Generator and masks: what a resumed search needs beside the logits."""
        return {
            "generator": self._generator.get_state(),
            "masks": {key: mask.clone() for key, mask in self._masks.items()},
            "reset": sorted(self._reset),
        }

    def set_extra_state(self, state: Any) -> None:
        """Restore what ``get_extra_state`` gave."""
        self._generator.set_state(state["generator"])
        for key, mask in state["masks"].items():
            self._masks[key].copy_(mask)
        self._reset = set(state["reset"])
