"""Nested candidates in their simplest form: how many leading features are kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.decision import Decision
from nas.errors import SpaceError
from nas.supernet import Slot


class Prefix(nn.Module):
    """Scales feature ``c`` by the gate of the level that adds it.

    The candidates are numbers of features. With weights ``w`` over nested sizes, feature ``c`` gets
    ``sum_{i: size_i > c} w_i``, so that one-hot weights keep exactly the first ``size`` features.
    With ``groups`` > 1 the features are cut into that many equal blocks, each with its own choice.

    Raises:
        SpaceError: unless the sizes are nested whole numbers, increasing up to a block's features.
    """

    level: Tensor

    def __init__(self, features: int, sizes: Decision) -> None:
        super().__init__()
        block = features // sizes.groups
        numbers = [c for c in sizes.candidates if isinstance(c, int)]
        rising = len(numbers) == len(sizes) and sorted(numbers) == numbers and numbers[0] >= 0
        if sizes.kind != "nested" or not rising or numbers[-1] * sizes.groups != features:
            raise SpaceError(
                f"decision {sizes.name!r}: needs nested, increasing sizes that end in "
                f"{features / sizes.groups:g}, got {sizes.kind} {sizes.candidates}"
            )
        self.slot = Slot(sizes)
        level = torch.bucketize(torch.arange(block), torch.tensor(numbers), right=True)
        self.register_buffer("level", level, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` (N, C, ...)."""
        return x * self._mask(x)

    def _mask(self, x: Tensor) -> Tensor:
        weights: Weights = self.slot()
        gates = weights.gates()[:, self.level].reshape(-1)
        return gates.view(1, -1, *([1] * (x.dim() - 2)))

    def freeze(self) -> nn.Module:
        """A fixed 0/1 mask; really smaller modules are the business of materialization."""
        weights = self.slot()
        if not torch.equal(weights.values, weights.values.round()):
            raise ValueError(
                f"decision {self.slot.decision.name!r}: freezing needs one-hot weights"
            )
        return FixedMask(weights.gates()[:, self.level].reshape(-1))


class FixedMask(nn.Module):
    """Multiplies features (N, C, ...) by a fixed mask (C,)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` (N, C, ...)."""
        return x * self.mask.view(1, -1, *([1] * (x.dim() - 2)))
