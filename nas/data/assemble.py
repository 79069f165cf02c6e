"""From arrays and split sizes to a data set: the last step of every source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nas.data.base import ArrayData, statistics
from nas.data.sizes import PARTS, TEST, Sizes
from nas.dataspec import DataSpec, Kind


@dataclass(frozen=True, eq=False)
class Samples:
    """What was read, before splits are drawn.

    Attributes:
        inputs: ``(N, C, *spatial)`` uint8 or float32.
        targets: classes ``(N,)`` int64, or labels ``(N, K)`` in {0, 1}.
        parts: ``(N,)`` positions in ``PARTS``: how the data come divided.
        classes: names of classes or labels; for classes one each.
        notes: what a reader of results has to know.
    """

    inputs: Tensor
    targets: Tensor
    parts: Tensor
    classes: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def kind(self) -> Kind:
        """What a target is: one of several classes, or any of several labels."""
        return "classes" if self.targets.dim() == 1 else "multi-label"

    @property
    def labels(self) -> Tensor:
        """What splits are stratified by: ``(N,)`` classes, or all zeros where there are none."""
        one_class = self.targets.dim() == 1
        return self.targets if one_class else torch.zeros(len(self.targets), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.targets)

    def noted(self, note: str) -> Samples:
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))

    def at(self, indices: Tensor) -> Samples:
        """The samples at these indices."""
        if len(indices) == len(self):
            return self
        parts = (self.inputs, self.targets, self.parts)
        inputs, targets, origin = (tensor[indices] for tensor in parts)
        return replace(self, inputs=inputs, targets=targets, parts=origin)


def all_training(n: int) -> Tensor:
    """``parts`` of data that come in one piece."""
    return torch.zeros(n, dtype=torch.int64)


def assemble(samples: Samples, sizes: Sizes, *, name: str, fingerprint: str) -> ArrayData:
    """The data set with its splits; mean and std are those of weights and architecture together.

    ``samples`` were cut down to ``sizes.samples`` before. Raises NasError if sizes and data do
    not fit.
    """
    by_class = samples.kind == "classes"
    splits = sizes.splits(samples.labels, samples.parts, samples.classes if by_class else ())
    # neither validation nor test may leak into mean and std
    training = torch.cat([splits["weights"], splits["architecture"]]).sort().values
    mean, std = statistics(samples.inputs[training])
    outputs = len(samples.classes) if by_class else samples.targets.shape[1]
    spec = DataSpec(
        input_shape=tuple(samples.inputs.shape[1:]),
        kind=samples.kind,
        outputs=outputs,
        classes=tuple(samples.classes),
        mean=mean,
        std=std,
    )
    return ArrayData(
        spec=spec,
        inputs=samples.inputs,
        targets=samples.targets,
        splits=splits,
        fingerprint=fingerprint,
        name=name,
        split_seed=sizes.split_seed,
        notes=(*samples.notes, *_single(samples), *_held_back(samples, splits)),
    )


def _single(samples: Samples) -> tuple[str, ...]:
    """Says so where labels look like classes that were written as rows."""
    if samples.targets.dim() == 1 or not bool((samples.targets.sum(1) == 1).all()):
        return ()
    return ("every row of labels holds a single 1; if these are classes, store their numbers",)


def _held_back(samples: Samples, splits: dict[str, Tensor]) -> tuple[str, ...]:
    """Says so where accuracies on test are not those of an official test split."""
    if bool((samples.parts == TEST).any()):
        return ()
    train = int((samples.parts == PARTS.index("train")).sum())
    return (
        f"no official test split: test is {len(splits['test'])} of the {train} samples, held back",
    )
