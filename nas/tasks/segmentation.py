"""One class for every position."""

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
from nas.tasks.base import require_kind, shape

METRICS = MappingProxyType({"pixel_accuracy": True, "sample_iou": True})


@final
@dataclass(frozen=True)
class Segmentation:
    """Cross entropy of logits ``(N, classes, ...)`` against classes ``(N, ...)`` int64.

    For images (semantic segmentation) and for sequences. The usual mean IoU takes intersections
    and unions over a whole data set and is no mean over samples; the one here is taken in each
    sample and then averaged.
    """

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """Pixel accuracy and intersection over union, the more the better."""
        return METRICS

    @property
    def primary(self) -> str:
        """Pixel accuracy decides."""
        return "pixel_accuracy"

    def check(self, spec: DataSpec) -> None:
        """Raise NasError unless each position has one class, of two or more."""
        require_kind("segmentation", spec, "dense")
        if spec.outputs < 2:
            raise NasError(
                f"segmentation needs at least 2 classes, got {spec.outputs}; count the background"
            )

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean cross entropy in nats over samples and positions; NasError if shapes do not fit."""
        if output.dim() < 3 or output.shape[:1] + output.shape[2:] != target.shape:
            raise NasError(
                f"segmentation compares logits (classes, ...) with one class per position, got an "
                f"output of {shape(output)} and a target of {shape(target)}; choose a space that "
                "keeps the size, or correct the targets"
            )
        return functional.cross_entropy(output, target)

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Means over samples of two shares in [0, 1].

        ``pixel_accuracy``: positions whose largest logit is that of their class. ``sample_iou``:
        intersection over union, the mean over the classes that a sample or its prediction has.
        """
        samples, classes = output.shape[:2]
        predicted, wanted = output.detach().argmax(1).flatten(1), target.flatten(1)
        row = torch.arange(samples, device=output.device)[:, None] * classes
        right = predicted == wanted

        def counts(chosen: Tensor) -> Tensor:
            found = torch.bincount(chosen, minlength=samples * classes)
            return found.view(samples, classes).to(torch.float32)

        both = counts((row + wanted)[right])
        either = counts((row + wanted).flatten()) + counts((row + predicted).flatten()) - both
        seen = (either > 0).to(torch.float32)
        iou = (both / either.clamp_min(1)).sum(1) / seen.sum(1)
        return {"pixel_accuracy": right.to(torch.float32).mean(), "sample_iou": iou.mean()}
