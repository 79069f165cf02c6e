"""The weighted sum of the normalized operations of every edge of a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.native import build
from nas.kernels.term import Term


def mixture(terms: Sequence[Term], weights: Tensor) -> tuple[Tensor, ...]:
    """``out[e] = sum_t weights[e, t] * (z_t[e] - mean_t) * rstd_t`` for every edge e.

    Args:
        terms: the operations; an edge that a term lacks gets nothing from it.
        weights: (edges, len(terms)).

    Returns:
        One (N, C, H, W) per edge.
    """
    moments = [moment for term in terms for moment in term.moments()]
    zs = [term.z for term in terms]
    return cast("tuple[Tensor, ...]", _Mixture.apply(tuple(terms), weights, *moments, *zs))


@dataclass(frozen=True)
class _Layout:
    """What the backward pass needs of a term besides its tensors."""

    edges: tuple[int, ...]
    shared: bool
    through: bool
    channels: int

    def entry(
        self,
        z: Tensor,
        gradient: Tensor | None,
        moments: Sequence[Tensor | None],
        edges: int,
    ) -> list[int]:
        """The numbers of this term in the table that the kernels read (see mixture.cpp)."""
        first, mean, rstd = [-1] * edges, [0] * edges, [0] * edges
        for position, edge in enumerate(self.edges):
            first[edge] = 0 if self.shared else position * self.channels
        for found, values in zip((mean, rstd), moments, strict=True):
            if values is None:
                continue
            start = build.address(values)
            step = self.channels * values.element_size() if len(values) > self.channels else 0
            for position, edge in enumerate(self.edges):
                found[edge] = start + position * step
        head = [build.address(z), build.address(gradient), z.shape[1], int(self.through)]
        return [*head, *first, *mean, *rstd]


def _table(
    layouts: Sequence[_Layout],
    zs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    moments: Sequence[Tensor | None],
    edges: int,
) -> object:
    parts = zip(layouts, zs, gradients, zip(moments[::2], moments[1::2], strict=True), strict=True)
    return build.sizes(*(number for part in parts for number in part[0].entry(*part[1:], edges)))


def _layout(term: Term) -> _Layout:
    channels = term.z.shape[1] // (1 if term.shared else len(term.edges))
    return _Layout(term.edges, term.shared, term.through, channels)


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, terms: tuple[Term, ...], weights: Tensor, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        zs = [term.z for term in terms]
        layouts = [_layout(term) for term in terms]
        edges = weights.shape[0]
        batch, _, height, width = zs[0].shape
        extent = (batch, layouts[0].channels, height * width, edges, len(terms))
        outputs = tuple(
            zs[0].new_empty(batch, layouts[0].channels, height, width) for _ in range(edges)
        )
        weights = weights.contiguous()
        table = _table(layouts, zs, [None] * len(terms), tensors[: 2 * len(terms)], edges)
        build.call(
            "mixture_forward",
            weights.dtype,
            *(build.sizes(*extent), table, weights, build.sizes(*map(build.address, outputs))),
        )
        ctx.layouts, ctx.extent = layouts, extent
        ctx.save_for_backward(weights, *tensors)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        weights, *tensors = ctx.saved_tensors
        count = len(ctx.layouts)
        moments, zs = tensors[: 2 * count], tensors[2 * count :]
        wanted = ctx.needs_input_grad
        g_zs = [
            torch.empty_like(z) if wanted[2 + 2 * count + t] else None for t, z in enumerate(zs)
        ]
        g_weights = torch.empty_like(weights) if wanted[1] else None
        dense = [None if g is None else g.contiguous() for g in gradients]
        table = _table(ctx.layouts, zs, g_zs, moments, weights.shape[0])
        build.call(
            "mixture_backward",
            weights.dtype,
            *(build.sizes(*ctx.extent), table, weights),
            *(build.sizes(*map(build.address, dense)), g_weights),
        )
        return None, g_weights, *[None] * (2 * count), *g_zs
