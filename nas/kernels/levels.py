"""Nested levels of quantization as the numbers that kernels read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Levels:
    """``offset + sum_j step_j round(.)``, rung by rung, of what is between ``low`` and ``high``.

    Attributes:
        low, high: the range, in units of the clipping value.
        offset: where the first rung starts.
        steps: distance of the levels of each rung, each a multiple of the next.
        tempered: what the gradient of the clipping value is divided by, squared, per number.
    """

    low: float
    high: float
    offset: float
    steps: tuple[float, ...]
    tempered: float

    @cached_property
    def packed(self) -> Tensor:
        """Low, high, offset, tempered, then the steps; fp64, on the CPU."""
        numbers = (self.low, self.high, self.offset, self.tempered, *self.steps)
        return torch.tensor(numbers, dtype=torch.float64, device="cpu")
