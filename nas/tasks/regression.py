"""An image or a sequence of values out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final, get_args

import torch
from torch import Tensor
from torch.nn import functional

from nas.dataspec import DataSpec
from nas.errors import NasError, nearest
from nas.tasks.base import require_kind, shape

Criterion = Literal["mse", "l1", "charbonnier"]
METRICS = MappingProxyType({"mse": False, "psnr": True})
EPSILON = 1e-3  # of the Charbonnier loss, as in arXiv:1710.01992
MOST_DECIBELS = 100.0  # of one sample: a perfect one would be infinite, and with it every mean


@final
@dataclass(frozen=True)
class Regression:
    """Distance of values ``(N, C, ...)`` from targets of the same shape, in float.

    Args:
        criterion: of the loss: ``mse``, ``l1`` or ``charbonnier``, the mean of
            ``sqrt(d^2 + 1e-6)`` (arXiv:1710.01992).
        peak: the largest value that a target can have, the smallest being 0; for ``psnr``.

    Raises:
        NasError: for an unknown criterion, or a peak that is not above 0.
    """

    criterion: Criterion = "mse"
    peak: float = 1.0

    def __post_init__(self) -> None:
        known = get_args(Criterion)
        if self.criterion not in known:
            raise NasError(
                f"criterion must be one of {', '.join(known)}, got {self.criterion!r}"
                f"{nearest(str(self.criterion), known)}"
            )
        number = isinstance(self.peak, int | float) and not isinstance(self.peak, bool)
        if not number or not 0 < self.peak < math.inf:
            raise NasError(
                f"peak must be a number above 0, got {self.peak!r}; give the largest value that a "
                "target can have, 1.0 or 255.0"
            )

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """Mean squared error, the less the better, and PSNR, the more the better."""
        return METRICS

    @property
    def primary(self) -> str:
        """The mean squared error decides: unlike PSNR it does not depend on ``peak``."""
        return "mse"

    def check(self, spec: DataSpec) -> None:
        """Raise NasError unless the data has an image out, or a target per position."""
        require_kind("regression", spec, "image", "dense")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean over samples, channels and positions; NasError if the shapes differ."""
        if output.shape != target.shape:
            raise NasError(
                f"regression compares values of one shape, got an output of {shape(output)} and a "
                f"target of {shape(target)}; choose a space whose output has that size, or "
                "correct the targets"
            )
        exact = torch.promote_types(output.dtype, target.dtype)  # under bf16, that of the target
        return _CRITERIA[self.criterion](output.to(exact), target.to(exact))

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """``mse``, and ``psnr = 10 log10(peak^2 / mse)`` in dB of each sample, at most 100.

        Both are means over samples, so ``psnr`` is not the PSNR of the mean ``mse``.
        """
        difference = output.detach().to(torch.float32) - target.to(torch.float32)
        errors = difference.square().flatten(1).mean(1)
        least = 10 ** (-MOST_DECIBELS / 10)
        ratio = (errors / self.peak**2).clamp_min(least)
        return {"mse": errors.mean(), "psnr": (-10 * ratio.log10()).mean()}


def _charbonnier(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target).square() + EPSILON**2).sqrt().mean()


_CRITERIA: Mapping[Criterion, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "charbonnier": _charbonnier,
}
