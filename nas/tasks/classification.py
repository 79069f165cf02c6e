"""One class out of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks.base import require_kind


@final
@dataclass(frozen=True)
class Classification:
    """Cross entropy and accuracy of logits ``(N, classes)`` against classes ``(N,)`` int64.

    Args:
        label_smoothing: share of the target spread evenly over all classes (arXiv:1512.00567).

    Raises:
        NasError: if label_smoothing is outside [0, 1).
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise NasError(
                f"label_smoothing must be at least 0 and below 1, got {self.label_smoothing!r}; "
                "0 turns it off"
            )

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """Accuracy, the more the better."""
        return MappingProxyType({"accuracy": True})

    @property
    def primary(self) -> str:
        """Accuracy decides."""
        return "accuracy"

    def check(self, spec: DataSpec) -> None:
        """Raise NasError unless each input has one class."""
        require_kind("classification", spec, "classes")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean cross entropy in nats, smoothed if so set."""
        return functional.cross_entropy(output, target, label_smoothing=self.label_smoothing)

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """``accuracy``: share of samples whose largest logit is that of their class, in [0, 1]."""
        correct = output.detach().argmax(dim=1) == target
        return {"accuracy": correct.to(torch.float32).mean()}
