"""One genotype, always: a supernet under it is a plain network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nas.arch import Arch, Weights, from_genotype
from nas.decision import Decision, Genotype
from nas.errors import ConfigError
from nas.policies.base import Sample, plain_sample


class Fixed(nn.Module):
    """Hands out the k-hot weights of ``genotype``; decisions that it omits are absent."""

    capturable = True

    def __init__(self, decisions: Mapping[str, Decision], genotype: Genotype) -> None:
        super().__init__()
        self.decisions = {name: d for name, d in decisions.items() if name in genotype}
        weights = from_genotype(self.decisions, genotype)
        self._live = {name: w.live for name, w in weights.items()}
        # Buffers, so that the weights move to a device with the policy.
        self._names = list(weights)
        for index, name in enumerate(self._names):
            self.register_buffer(f"weights_{index}", weights[name].values)

    def forward(self) -> Sample:
        """The same weights every time, (groups, n) each."""
        return plain_sample(self.probabilities())

    def probabilities(self) -> Arch:
        """The k-hot weights of the genotype."""
        return {
            name: Weights(self.get_buffer(f"weights_{index}"), self._live[name])
            for index, name in enumerate(self._names)
        }

    def mask(self, name: str) -> Tensor:
        """The chosen candidates, bool (groups, n)."""
        return self.probabilities()[name].values.bool().cpu()  # type: ignore[union-attr]

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Refused: a fixed policy chooses nothing."""
        raise ConfigError("a fixed policy has no mask to change; use FreeLogits or Uniform")

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Nothing: there are no parameters."""
        return []

    def take_reset(self) -> list[nn.Parameter]:
        """Nothing: there are no parameters."""
        return []
