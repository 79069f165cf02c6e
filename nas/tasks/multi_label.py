"""Any of several labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional

from nas.dataspec import DataSpec
from nas.errors import NasError
from nas.tasks.base import require_kind

METRICS = MappingProxyType({"f1": True, "label_accuracy": True, "exact_match": True})


@final
@dataclass(frozen=True)
class MultiLabel:
    """Binary cross entropy of logits ``(N, labels)`` against targets ``(N, labels)`` in {0, 1}.

    A label is predicted where its logit is above 0. The metrics are means over samples, so that
    batches combine; mean average precision and F1 by label are not, and are therefore not given.

    Args:
        positive_weight: by how much a label that is there weighs more than one that is not: one
            number, or one for each label; None weighs them alike.

    Raises:
        NasError: if a weight is not a finite number above 0.
    """

    positive_weight: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        given = self.positive_weight
        if given is None:
            return
        many = isinstance(given, Sequence) and not isinstance(given, str)
        weights: tuple[Any, ...] = tuple(given) if many else (given,)  # type: ignore[arg-type]
        if not weights or not all(map(_is_weight, weights)):
            raise NasError(
                f"positive_weight must be a number above 0, or one for each label, got "
                f"{given!r}; null weighs labels that are there and others alike"
            )
        object.__setattr__(self, "positive_weight", weights if many else given)

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """F1, label accuracy and exact matches, the more the better."""
        return METRICS

    @property
    def primary(self) -> str:
        """The mean F1 of a sample's labels decides."""
        return "f1"

    def check(self, spec: DataSpec) -> None:
        """Raise NasError unless each input has any of several labels, and the weights fit them."""
        require_kind("multi-label classification", spec, "multi-label")
        given = self.positive_weight
        if isinstance(given, tuple) and len(given) != spec.outputs:
            raise NasError(
                f"positive_weight has {len(given)} entries for {spec.outputs} labels; give one "
                "for each label, or a single number"
            )

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean binary cross entropy in nats over samples and labels."""
        given = self.positive_weight
        weight = None if given is None else output.new_tensor(given)
        wanted = target.to(output.dtype)
        return functional.binary_cross_entropy_with_logits(output, wanted, pos_weight=weight)

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Means over samples of three shares in [0, 1].

        ``f1``: ``2 TP / (2 TP + FP + FN)`` of a sample's labels, 1 where none is there and none
        predicted. ``label_accuracy``: labels that are right. ``exact_match``: 1 where all are.
        """
        predicted, there = output.detach() > 0, target > 0.5
        right = (predicted == there).to(torch.float32)
        both = (predicted & there).sum(1).to(torch.float32)
        either = (predicted.sum(1) + there.sum(1)).to(torch.float32)
        f1 = torch.where(either > 0, 2 * both / either.clamp_min(1), 1.0)
        return {
            "f1": f1.mean(),
            "label_accuracy": right.mean(),
            "exact_match": right.amin(1).mean(),
        }


def _is_weight(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf  # type: ignore[operator]
