"""A quantization whose numbers are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nas.kernels.levels import Levels


@dataclass(frozen=True)
class Quantization:
    """``clip * (g_0 offset + sum_j g_j rung_j(x / clip))`` of a tensor ``x``.

    Attributes:
        clip: scalar, above 0.
        gates: (rungs,).
        levels: of the rungs.
    """

    clip: Tensor
    gates: Tensor
    levels: Levels
