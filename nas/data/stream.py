"""Batches as a pure function of (seed, stream name, epoch, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from nas.batch import Batch
from nas.data.augment import Augment
from nas.data.base import ArrayData, normalize, scaled
from nas.data.transfer import sent
from nas.engine.rng import derive_seed
from nas.errors import NasError

Device = str | torch.device


class Batches:
    """A stream of training batches without state: a loader's position is (epoch, step).

    Every epoch is one permutation of the indices, and every batch draws its augmentation from a
    generator of its own, so a resumed run sees what an uninterrupted one would. uint8 inputs are
    scaled to [0, 1], augmented and normalized on ``device``, where they arrive as bytes.

    Args:
        data: the samples and their specification.
        indices: the samples of this stream, ``(n,)`` int64.
        batch_size: samples per batch.
        seed: seed of the run.
        name: name of the stream; streams of one seed differ by it.
        augment: applied to tensor inputs; None only scales and normalizes.
        shuffle: False keeps the order of ``indices``.
        drop_last: whether a last, smaller batch is left out.
        device: where batches are wanted.
        channels_last: whether images (N, C, H, W) lie in memory with their channels last.

    Raises:
        NasError: if the batch is larger than the split, or the augmentation does not fit the data.
    """

    def __init__(
        self,
        data: ArrayData,
        indices: Tensor,
        *,
        batch_size: int,
        seed: int,
        name: str,
        augment: Augment | None = None,
        shuffle: bool = True,
        drop_last: bool = True,
        device: Device = "cpu",
        channels_last: bool = False,
    ) -> None:
        _check_batch_size(batch_size, indices, name)
        if batch_size > len(indices):
            raise NasError(
                f"batch size {batch_size} is larger than the split {name!r} with its "
                f"{len(indices)} samples; use a batch size of at most {len(indices)}, or give "
                "that split more samples in the data settings"
            )
        if augment is not None:
            if not isinstance(data.inputs, Tensor):
                raise NasError(
                    f"augmentation needs inputs that are one tensor, but those of data "
                    f"{data.name!r} are a {type(data.inputs).__name__}; leave it out"
                )
            augment.check(data.spec)
        self._data, self._indices, self._batch_size = data, indices, batch_size
        self._seed, self._name, self._augment = seed, name, augment
        self._shuffle, self._drop_last = shuffle, drop_last
        self._device, self._channels_last = torch.device(device), channels_last
        self._last_order: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        """Number of batches per epoch."""
        full, rest = divmod(len(self._indices), self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def batch(self, epoch: int, step: int) -> Batch:
        """Batch ``step`` of epoch ``epoch``, both from 0; the same whatever was asked before."""
        if not 0 <= step < len(self):
            raise IndexError(f"stream {self._name!r} has {len(self)} batches, asked for {step}")
        batch = self._cut(epoch, step)
        return _channels_last(batch) if self._channels_last else batch

    def _cut(self, epoch: int, step: int) -> Batch:
        order = self._order(epoch)[step * self._batch_size : (step + 1) * self._batch_size]
        if self._augment is None:
            return _prepared(self._data, order, self._device)
        generator = self._generator(epoch, step, "augment")
        augment, normalization = self._augment, _normalization(self._data)
        return _taken(
            self._data,
            order,
            self._device,
            lambda inputs: augment(scaled(inputs), generator, normalization),
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step ``start`` on."""
        return (self.batch(epoch, step) for step in range(start, len(self)))

    def _order(self, epoch: int) -> Tensor:
        """The indices as this epoch visits them; the latest one is kept, as a cache only."""
        if not self._shuffle:
            return self._indices
        if self._last_order is None or self._last_order[0] != epoch:
            generator = self._generator(epoch, "order")
            order = torch.randperm(len(self._indices), generator=generator)
            self._last_order = epoch, self._indices[order]
        return self._last_order[1]

    def _generator(self, *parts: int | str) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self._seed, self._name, *parts))


def evaluation(
    data: ArrayData, indices: Tensor, *, batch_size: int = 256, device: Device = "cpu"
) -> Iterator[Batch]:
    """All samples of a split in order, without augmentation; the last batch may be smaller.

    Raises NasError, at once and not at the first batch, if there is nothing to iterate over.
    """
    _check_batch_size(batch_size, indices, "evaluation")
    where = torch.device(device)
    return (_prepared(data, part, where) for part in torch.split(indices, batch_size))


def move(batch: Batch, device: Device) -> Batch:
    """The batch with every tensor of its trees on ``device``; other leaves are kept."""
    where = torch.device(device)
    return cast(Batch, tree_map_only(Tensor, lambda tensor: sent(tensor, where), batch))


def _taken(
    data: ArrayData, indices: Tensor, device: torch.device, prepare: Callable[[Tensor], Tensor]
) -> Batch:
    def rows(tensor: Tensor) -> Tensor:
        return tensor[sent(indices, tensor.device)]

    raw = Batch(*tree_map_only(Tensor, rows, (data.inputs, data.targets)))
    batch = move(raw, device)
    return Batch(tree_map_only(Tensor, prepare, batch.inputs), batch.targets)


def _channels_last(batch: Batch) -> Batch:
    def laid(tensor: Tensor) -> Tensor:
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    return Batch(tree_map_only(Tensor, laid, batch.inputs), batch.targets)


def _prepared(data: ArrayData, indices: Tensor, device: torch.device) -> Batch:
    normalization = _normalization(data)
    return _taken(data, indices, device, lambda inputs: normalization(scaled(inputs)))


def _normalization(data: ArrayData) -> Callable[[Tensor], Tensor]:
    """Normalization by the specification, which describes inputs that are one tensor."""
    spec, single = data.spec, isinstance(data.inputs, Tensor)
    return lambda inputs: normalize(inputs, spec) if single else inputs


def _check_batch_size(batch_size: int, indices: Tensor, name: str) -> None:
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise NasError(
            f"batch size must be a whole number of at least 1, got {batch_size!r} for {name!r}"
        )
    if len(indices) == 0:
        raise NasError(
            f"the split {name!r} is empty; give it at least one sample in the data settings"
        )
