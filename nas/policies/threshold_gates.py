"""Gates that open where measured evidence exceeds a learnt threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from nas.arch import Arch, Weights
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies.base import Sample, plain_sample
from nas.relaxations import stick_breaking
from nas.supernet import Supernet

UNSEEN = -1.0  # in the place of evidence, which is never below 0


class ThresholdGates(nn.Module):
    """One threshold per candidate of a nested decision but its first (ABS, arXiv 2101.04935).

    The groups of a decision (blocks of filters of one layer) share thresholds.

    Gate ``j`` is ``1[A_j > a_j]`` (eq. 9), where the owner of the slot measures the evidence ``A``
    (what a further rung of bits has to add); its gradient in ``a_j`` is that of
    ``sigmoid((A_j - a_j) / temperature)``. A gate counts only where all before it are open, so that
    the weights are ``w_j = g_1 .. g_j (1 - g_{j+1})``. The weights are deferred: they exist once a
    layer has measured its evidence, and belong to one layer each.

    Thresholds start ``margin`` temperatures below the least first evidence, so that every gate is
    open; the paper does not say where. Nor does it name a temperature.

    Args:
        decisions: nested, one candidate kept.
        temperature: of the sigmoid that gives the gradient.
        margin: of the first thresholds, in temperatures.
        seed: unused; nothing is drawn.

    Raises:
        ConfigError: for a decision that is not nested, or a temperature that is not above 0.
    """

    def __init__(
        self,
        decisions: Mapping[str, Decision],
        temperature: float = 0.05,
        margin: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, decision in decisions.items():
            if decision.kind != "nested":
                raise ConfigError(
                    f"decision {name!r} is no ladder of nested candidates, of which alone there "
                    "are gates; search it by another strategy, such as strategy=pc_darts"
                )
        if not decisions:
            raise ConfigError(
                "the policy was given no decision; the space has nothing to search: choose another "
                "space=, or give it compression=superbit"
            )
        if not temperature > 0:
            raise ConfigError(f"strategy.policy.temperature must be above 0, got {temperature}")
        self.decisions, self.temperature, self.margin = dict(decisions), temperature, margin
        sizes = {name: (d.groups, len(d) - 1) for name, d in decisions.items()}
        keys = {name: f"threshold_{place}" for place, name in enumerate(sizes)}
        self._keys = keys
        self.thresholds = nn.ParameterDict(
            {keys[name]: nn.Parameter(torch.zeros(1, size[1])) for name, size in sizes.items()}
        )
        for name, size in sizes.items():
            self.register_buffer(f"evidence_{keys[name]}", torch.full(size, UNSEEN))

    def forward(self) -> Sample:
        """Deferred weights of every decision: evidence (groups, n - 1) to weights (groups, n)."""
        return plain_sample({name: partial(self._resolved, name) for name in self.decisions})

    def probabilities(self) -> Arch:
        """What the last evidence says, (groups, n) each, outside the graph.

        Half of each weight is the hard gates', half that of the sigmoids: the heaviest candidate is
        the one that the gates choose, the others say how near they are. Before anything was
        measured all gates are open.
        """
        with torch.no_grad():
            return {name: self._believed(name) for name in self.decisions}

    def threshold(self, name: str) -> nn.Parameter:
        """Of one decision, (1, n - 1): groups share it."""
        return cast(nn.Parameter, self.thresholds[self._keys[name]])

    def _evidence(self, name: str) -> Tensor:
        return self.get_buffer(f"evidence_{self._keys[name]}")

    def _resolved(self, name: str, evidence: Tensor) -> Weights:
        threshold, seen = self.threshold(name), self._evidence(name)
        with torch.no_grad():
            first = seen == UNSEEN
            start = evidence.amin(0, keepdim=True) - self.margin * self.temperature
            threshold.copy_(torch.where(first[:1], start.to(threshold), threshold))
            seen.copy_(evidence)
        # A threshold that groups share gets the mean of their gradients, not their sum.
        shared = threshold.detach() + (threshold - threshold.detach()) / len(evidence)
        soft = torch.sigmoid((evidence.detach() - shared) / self.temperature)
        hard = (evidence > threshold).to(soft)
        return self._weights(name, stick_breaking(hard + (soft - soft.detach())))

    def _believed(self, name: str) -> Weights:
        threshold, seen = self.threshold(name).detach(), self._evidence(name)
        soft = torch.sigmoid((seen - threshold) / self.temperature)
        soft = torch.where(seen == UNSEEN, torch.ones_like(soft), soft)
        both = [stick_breaking(gates) for gates in ((soft > 0.5).to(soft), soft)]
        return self._weights(name, (both[0] + both[1]) / 2)

    def _weights(self, name: str, values: Tensor) -> Weights:
        return Weights(values, tuple(range(len(self.decisions[name]))))

    def mask(self, name: str) -> Tensor:
        """All candidates are allowed: bool (groups, n)."""
        decision = self.decisions[name]
        return torch.ones(decision.groups, len(decision), dtype=torch.bool)

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Raise ConfigError for any mask that forbids something: thresholds know no masks."""
        if not bool(torch.as_tensor(mask).all()):
            raise ConfigError(
                f"decision {name!r}: gates of thresholds cannot leave candidates out; give the "
                "decision fewer candidates (compression.weight_bits and the like)"
            )

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Nothing is masked."""
        return []

    def take_reset(self) -> list[nn.Parameter]:
        """No mask ever changes."""
        return []


def check_single(supernet: Supernet) -> None:
    """Raise ConfigError where layers share a decision: evidence belongs to one layer."""
    for name, count in supernet.readers.items():
        if count > 1:
            raise ConfigError(
                f"{count} layers share decision {name!r}, and thresholds are compared with what "
                "one layer measures; search it by another strategy, such as strategy=pc_darts, or "
                "layers of their own, as in space=superbit"
            )
