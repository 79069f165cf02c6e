"""What one candidate of several edges made of their common input, a normalization still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.kernels import Kernels, Normalization
from nas.kernels.portable.channels import moments

Norm = nn.BatchNorm1d | nn.BatchNorm2d
_AFFINE = ("weight", "bias")


class Follow:
    """Running statistics that are to move towards those of a batch, all in a few calls."""

    def __init__(self) -> None:
        self._noted: dict[tuple[float, int], list[tuple[Sequence[Any], Tensor, Tensor]]] = {}

    def add(self, norms: Sequence[Any], mean: Tensor, var: Tensor, count: int) -> None:
        """Note a batch's mean and biased variance (C,) or (edges * C,) over ``count`` values."""
        if norms[0].track_running_stats:
            self._noted.setdefault((norms[0].momentum, count), []).append((norms, mean, var))

    def apply(self) -> None:
        """Move them."""
        with torch.no_grad():
            for (momentum, count), noted in self._noted.items():
                norms = [norm for group, _, _ in noted for norm in group]
                means = [part for group, mean, _ in noted for part in _by_edge(mean, group)]
                variances = [part for group, _, var in noted for part in _by_edge(var, group)]
                live = [norm.running_var for norm in norms]
                torch._foreach_lerp_([norm.running_mean for norm in norms], means, momentum)
                torch._foreach_mul_(live, 1 - momentum)
                unbiased = count / (count - 1)
                torch._foreach_add_(live, variances, alpha=momentum * unbiased)
                torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)


def _by_edge(values: Tensor, norms: Sequence[Any]) -> Sequence[Tensor]:
    size = norms[0].num_features
    if values.numel() == size:
        return [values] * len(norms)
    parts: Sequence[Tensor] = torch.split(values, size)
    return parts


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

    def settled(self, follow: Follow, kernels: Kernels) -> Tensor:
        """The value with its normalization applied, (N, edges * C, ...) or shared (N, C, ...)."""
        if not self.norms:
            return self.z
        found, z = statistics(self, follow), self.z
        if len(found.mean) != z.shape[1]:  # one input, but every edge has numbers of its own
            z = repeated(z, self.edges)
        return kernels.normalized(z, found)

    def split(self, follow: Follow, kernels: Kernels) -> Sequence[Tensor]:
        """The settled value of every edge, (N, C, ...) each."""
        z = self.settled(follow, kernels)
        return [z] * self.edges if self.still_shared(z) else z.chunk(self.edges, 1)

    def still_shared(self, settled: Tensor) -> bool:
        """Whether all edges read one tensor even now."""
        return self.shared and settled.shape[1] == self.z.shape[1]


def both(mean: Tensor | None, var: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """The moments, if they are known."""
    return None if mean is None or var is None else (mean, var)


def repeated(z: Tensor, edges: int) -> Tensor:
    """``z`` (N, C, ...) once per edge: (N, edges * C, ...)."""
    return z.repeat(1, edges, *([1] * (z.dim() - 2)))


def joined(parts: Sequence[Tensor]) -> Tensor:
    """The concatenation along the first axis, without a copy of a single part."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def statistics(value: Value, follow: Follow) -> Normalization:
    """What the open normalizations of ``value`` subtract, multiply by and add.

    While training they are to follow the batch's statistics, as the modules themselves would.
    """
    norms, z = value.norms, value.z
    first = norms[0]
    if not first.training and first.running_mean is not None:
        mean = joined([cast(Tensor, norm.running_mean) for norm in norms])
        var = joined([cast(Tensor, norm.running_var) for norm in norms])
        return _affine(norms, Normalization(mean, torch.rsqrt(var + first.eps), False))
    count = z.numel() // z.shape[1]
    if count == 1:
        raise ValueError(
            f"batch normalization needs more than one value per channel while training, got an "
            f"input of shape {tuple(z.shape)}; use a larger batch or larger images"
        )
    mean, var = moments(z) if value.moments is None else value.moments
    if first.running_mean is not None:
        follow.add(norms, mean, var, count)
    return _affine(norms, Normalization(mean, torch.rsqrt(var + first.eps), True))


def _affine(norms: Sequence[Norm], found: Normalization) -> Normalization:
    """With weights and biases, for which a shared value needs its statistics once per edge."""
    if not norms[0].affine:
        return found
    weight, bias = (joined([getattr(norm, name) for norm in norms]) for name in _AFFINE)
    mean, rstd = found.mean, found.rstd
    if len(mean) != len(weight):
        mean, rstd = (values.repeat(len(norms)) for values in (mean, rstd))
    return Normalization(mean, rstd, found.through, weight, bias)
