"""A data set in memory: arrays, their specification and the index splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from nas.data.transfer import sent
from nas.dataspec import DataSpec
from nas.errors import NasError, nearest

SPLITS = ("weights", "architecture", "validation", "test")
"""Who may use which samples: network weights, architecture, choices between runs, the last word."""


class DataSource(Protocol):
    """What a ``data`` configuration names by ``_target_``: settings that can be loaded.

    A class may list in ``places`` those arguments that only say where the data lie: they are no
    part of a run's identity, which the fingerprint of the data is.
    """

    def fingerprint(self) -> str:
        """Hash of the stored data and of every argument, found without loading anything."""
        ...

    def load(self) -> ArrayData:
        """The data with its splits; raises NasError naming the file that is missing or damaged."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayData:
    """All samples of a data set, raw, with disjoint splits given as indices.

    Attributes:
        spec: what a network has to know about the data.
        inputs: ``(N, *spec.input_shape)`` uint8 in 0..255 or float32, not normalized; or a pytree
            of tensors that share ``N`` (its leaves are then not compared with ``spec``).
        targets: classes ``(N,)`` int64; multi-label ``(N, outputs)`` in [0, 1]; dense
            ``(N, *spec.size)`` int64, or as image; image ``(N, outputs, *spec.output_size)``; or a
            pytree of tensors that share ``N``.
        splits: some of ``SPLITS`` with 1-D int64 indices.
        fingerprint: hash of the stored data and of the arguments that made the splits.
        name: short name of the data set, for messages and folders.
        split_seed: seed of the splits where one was used.
        notes: what a reader of results has to know, e.g. that there is no official test split.

    Raises:
        NasError: if shapes, types or values contradict ``spec``, or a split is unknown, empty, out
            of range or overlaps another.
    """

    spec: DataSpec
    inputs: Any
    targets: Any
    splits: Mapping[str, Tensor]
    fingerprint: str
    name: str
    split_seed: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        _check_lengths(self)
        if isinstance(self.inputs, Tensor):
            _check_inputs(self.name, self.inputs, self.spec)
        if isinstance(self.targets, Tensor):
            _check_targets(self.name, self.targets, self.spec)
        for split, indices in self.splits.items():
            _check_split(self.name, split, indices, len(self))
        _check_disjoint(self.name, self.splits, len(self))

    def __len__(self) -> int:
        return int(tree_leaves(self.inputs)[0].shape[0])

    def indices(self, split: str) -> Tensor:
        """Indices of a split; raises NasError naming the splits there are."""
        if split not in self.splits:
            raise NasError(
                f"data {self.name!r} has no split {split!r} here, only "
                f"{', '.join(self.splits) or 'none'}{nearest(split, self.splits)}; "
                "give that split a size in the data settings"
            )
        return self.splits[split]

    def counts(self) -> dict[str, int]:
        """Number of samples per split."""
        return {split: len(indices) for split, indices in self.splits.items()}

    def without(self, *names: str) -> ArrayData:
        """The same data without the named splits: what search and retraining get lacks ``test``."""
        kept = {split: self.indices(split) for split in self.splits if split not in names}
        return replace(self, splits=kept)


def scaled(inputs: Tensor) -> Tensor:
    """Float inputs: uint8 is divided by 255, float32 is kept as it is."""
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs


def normalize(inputs: Tensor, spec: DataSpec) -> Tensor:
    """``(x - mean) / std`` per channel of ``(N, C, *spatial)``; unchanged if spec has no mean."""
    if not spec.mean:
        return inputs
    shape = (1, spec.channels) + (1,) * spec.dims
    stored = torch.tensor([spec.mean, spec.std], dtype=inputs.dtype)
    mean, std = sent(stored, inputs.device).view(2, *shape).unbind()
    return (inputs - mean) / std


def statistics(inputs: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of ``scaled(inputs)``, ``(N, C, *spatial)``.

    Rounded to 6 digits, so that neither threads nor processors change a run. A constant channel
    gets the deviation 1.
    """
    mean, std = zip(*(_moments(inputs[:, c]) for c in range(inputs.shape[1])), strict=True)
    return mean, std


def _moments(values: Tensor) -> tuple[float, float]:
    if values.dtype == torch.uint8:  # exact integer sums, and no float copy of a whole data set
        counts = torch.bincount(values.reshape(-1), minlength=256)
        level = torch.arange(256)
        n, first = int(counts.sum()), int((counts * level).sum())
        second = int((counts * level**2).sum())
        mean, variance = first / n / 255, (n * second - first**2) / (n * 255) ** 2
    else:
        exact = values.double()
        mean, variance = exact.mean().item(), exact.var(correction=0).item()
    return round(mean, 6), round(float(variance**0.5), 6) or 1.0


def _check_lengths(data: ArrayData) -> None:
    leaves = [*tree_leaves(data.inputs), *tree_leaves(data.targets)]
    if not all(isinstance(leaf, Tensor) and leaf.dim() > 0 for leaf in leaves):
        raise NasError(
            f"data {data.name!r}: inputs and targets must be tensors with one entry per sample, "
            f"got {sorted({type(leaf).__name__ for leaf in leaves})}; convert them with torch"
        )
    lengths = sorted({leaf.shape[0] for leaf in leaves})
    if len(lengths) != 1 or lengths[0] == 0:
        raise NasError(
            f"data {data.name!r}: inputs and targets must have the same number of samples and at "
            f"least one, got {lengths}; check how they were read"
        )


def _check_inputs(name: str, inputs: Tensor, spec: DataSpec) -> None:
    if tuple(inputs.shape[1:]) != spec.input_shape:
        raise NasError(
            f"data {name!r}: one input has the shape {tuple(inputs.shape[1:])} but its DataSpec "
            f"says {spec.input_shape}; correct input_shape or reshape the inputs"
        )
    if inputs.dtype not in (torch.uint8, torch.float32):
        raise NasError(
            f"data {name!r}: inputs must be uint8 in 0..255 or float32, got {inputs.dtype}; "
            "convert them before making ArrayData"
        )
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        first = int((~torch.isfinite(inputs)).flatten(1).any(1).nonzero()[0])
        raise NasError(
            f"data {name!r}: input {first} holds a value that is NaN or infinite; "
            "remove that sample or repair its file"
        )


def _check_targets(name: str, targets: Tensor, spec: DataSpec) -> None:
    shape, values = tuple(targets.shape[1:]), (spec.outputs, *spec.output_size)
    by_class = spec.kind == "classes" or (spec.kind == "dense" and shape != values)
    wanted = spec.output_size if by_class else values
    if shape != wanted:
        raise NasError(
            f"data {name!r}: a target of kind {spec.kind!r} must have the shape {wanted}, "
            f"got {shape}; correct the targets or the kind"
        )
    if by_class and targets.dtype != torch.int64:
        raise NasError(
            f"data {name!r}: class targets must be int64, got {targets.dtype}; convert them"
        )
    if by_class or spec.kind == "multi-label":
        top = spec.outputs - 1 if by_class else 1
        low, high = targets.min().item(), targets.max().item()
        if not (low >= 0 and high <= top):  # so written, NaN fails as well
            raise NasError(
                f"data {name!r}: targets must lie in 0..{top}, got {low}..{high}; "
                "correct the targets or the number of outputs"
            )


def _check_split(name: str, split: str, indices: Tensor, n: int) -> None:
    if split not in SPLITS:
        raise NasError(
            f"data {name!r}: unknown split {split!r}; splits are {', '.join(SPLITS)}"
            f"{nearest(split, SPLITS)}"
        )
    if indices.dtype != torch.int64 or indices.dim() != 1:
        raise NasError(
            f"data {name!r}: split {split!r} must be a 1-D int64 tensor of indices, got "
            f"{indices.dtype} of shape {tuple(indices.shape)}; turn a mask into indices by "
            "mask.nonzero()[:, 0]"
        )
    if len(indices) == 0:
        raise NasError(
            f"data {name!r}: split {split!r} is empty; give it a size of at least 1 in the data "
            "settings, or leave it out"
        )
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= n:
        raise NasError(
            f"data {name!r}: split {split!r} has the index {low if low < 0 else high}, but the "
            f"{n} samples are numbered 0..{n - 1}; make the splits anew for this data"
        )
    if int(torch.bincount(indices).max()) > 1:
        raise NasError(
            f"data {name!r}: split {split!r} names the same sample twice; remove the repetition"
        )


def _check_disjoint(name: str, splits: Mapping[str, Tensor], n: int) -> None:
    masks = {
        split: torch.zeros(n, dtype=torch.bool).index_fill(0, indices.cpu(), True)
        for split, indices in splits.items()
    }
    for one, other in combinations(masks, 2):
        both = masks[one] & masks[other]
        if bool(both.any()):
            raise NasError(
                f"data {name!r}: splits {one!r} and {other!r} share {int(both.sum())} samples, the "
                f"first is {int(both.nonzero()[0])}; every sample may belong to one split only"
            )
