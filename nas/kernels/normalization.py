"""A batch normalization whose statistics are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Normalization:
    """``(z - mean) * rstd * weight + bias`` per channel of ``z`` (N, C, ...).

    Attributes:
        mean: (C,).
        rstd: one over the standard deviation, (C,).
        through: whether mean and rstd are statistics of ``z``, so that its gradient passes through
            them; otherwise they are constants.
        weight: (C,), or None for ones.
        bias: (C,), or None for zeros.
    """

    mean: Tensor
    rstd: Tensor
    through: bool
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def affine(self) -> bool:
        """Whether it has a weight or a bias."""
        return self.weight is not None or self.bias is not None
