"""What one candidate of several edges made of their common input, a normalization still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.kernels.portable.channels import moments
from nas.kernels.portable.normalized import normalized

Norm = nn.BatchNorm1d | nn.BatchNorm2d


class Follow:
    """Running statistics that are to move towards those of a batch, all in a few calls."""

    def __init__(self) -> None:
        self._by_momentum: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
        self._counts: list[Tensor] = []

    def add(self, norms: Sequence[Any], mean: Tensor, var: Tensor, count: int) -> None:
        """Note a batch's mean and biased variance (C,) or (edges * C,) over ``count`` values."""
        size, first = norms[0].num_features, norms[0]
        if not first.track_running_stats:
            return
        live, towards = self._by_momentum.setdefault(first.momentum, ([], []))
        unbiased = var * (count / (count - 1))
        for values, name in ((mean, "running_mean"), (unbiased, "running_var")):
            live += [getattr(norm, name) for norm in norms]
            shared = values.numel() == size
            towards += [values] * len(norms) if shared else torch.split(values, size)
        self._counts += [norm.num_batches_tracked for norm in norms]

    def apply(self) -> None:
        """Move them."""
        with torch.no_grad():
            for momentum, (live, towards) in self._by_momentum.items():
                torch._foreach_lerp_(live, towards, momentum)
            if self._counts:
                torch._foreach_add_(self._counts, 1)


@dataclass(frozen=True)
class Statistics:
    """Mean and one over the standard deviation per channel; ``through`` if they are the batch's."""

    mean: Tensor
    rstd: Tensor
    through: bool


@dataclass(frozen=True)
class Value:
    """One tensor for all edges.

    Attributes:
        z: (N, C, ...) if shared, else (N, edges * C, ...), edge-major.
        edges: how many.
        norms: the batch normalization of every edge that is still to be applied, or none.
        moments: mean and biased variance of ``z`` per channel, where its kernel gave them.
    """

    z: Tensor
    edges: int
    shared: bool
    norms: tuple[Norm, ...] = ()
    moments: tuple[Tensor, Tensor] | None = None

    def settled(self, follow: Follow) -> Tensor:
        """The value with its normalization applied, (N, edges * C, ...) or shared (N, C, ...)."""
        if not self.norms:
            return self.z
        found = statistics(self, follow)
        z = self.z
        if found.mean.numel() != z.shape[1]:  # one input, but every edge has statistics of its own
            z = repeated(z, self.edges)
        return normalized(z, found.mean, found.rstd, found.through)

    def split(self, follow: Follow) -> Sequence[Tensor]:
        """The settled value of every edge, (N, C, ...) each."""
        z = self.settled(follow)
        same = self.shared and z.shape[1] == self.z.shape[1]
        return [z] * self.edges if same else z.chunk(self.edges, 1)


def repeated(z: Tensor, edges: int) -> Tensor:
    """``z`` (N, C, ...) once per edge: (N, edges * C, ...)."""
    return z.repeat(1, edges, *([1] * (z.dim() - 2)))


def statistics(value: Value, follow: Follow) -> Statistics:
    """What the open normalizations of ``value`` subtract and multiply by.

    While training they are to follow the batch's statistics, as the modules themselves would.
    """
    norms, z = value.norms, value.z
    first = norms[0]
    if not first.training and first.running_mean is not None:
        mean = torch.cat([cast(Tensor, norm.running_mean) for norm in norms])
        var = torch.cat([cast(Tensor, norm.running_var) for norm in norms])
        return Statistics(mean, torch.rsqrt(var + first.eps), False)
    count = z.numel() // z.shape[1]
    if count == 1:
        raise ValueError(
            f"batch normalization needs more than one value per channel while training, got an "
            f"input of shape {tuple(z.shape)}; use a larger batch or larger images"
        )
    mean, var = moments(z) if value.moments is None else value.moments
    if first.running_mean is not None:
        follow.add(norms, mean, var, count)
    return Statistics(mean, torch.rsqrt(var + first.eps), True)
