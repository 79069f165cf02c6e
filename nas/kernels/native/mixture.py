"""The weighted sum of the normalized operations of every edge of a node."""

from __future__ import annotations

import ctypes
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


class _Entry(ctypes.Structure):
    """``Term`` in mixture.cpp."""

    _fields_ = (
        ("z", ctypes.c_void_p),
        ("gradient", ctypes.c_void_p),
        ("channels", ctypes.c_ssize_t),
        ("through", ctypes.c_ssize_t),
        ("first", ctypes.c_void_p),
        ("mean", ctypes.c_void_p),
        ("rstd", ctypes.c_void_p),
    )


class _Table:
    """The terms as the kernels read them, and whatever has to stay alive while they do."""

    def __init__(
        self,
        terms: Sequence[_Layout],
        zs: Sequence[Tensor],
        moments: Sequence[Tensor | None],
        gradients: Sequence[Tensor | None],
        edges: int,
    ) -> None:
        self._kept: list[object] = []
        self.entries = (_Entry * len(terms))()
        means, rstds = moments[::2], moments[1::2]
        for t, term in enumerate(terms):
            self.entries[t] = _Entry(
                zs[t].data_ptr(),
                build.address(gradients[t]),
                zs[t].shape[1],
                int(term.through),
                self._keep(build.sizes(*term.first(edges))),
                self._moment(term, means[t], edges),
                self._moment(term, rstds[t], edges),
            )

    def _keep(self, array: ctypes.Array[Any]) -> int:
        self._kept.append(array)
        return ctypes.addressof(array)

    def _moment(self, term: _Layout, values: Tensor | None, edges: int) -> int:
        found: list[int | None] = [None] * edges
        if values is not None:
            step = term.channels if values.numel() > term.channels else 0
            for position, edge in enumerate(term.edges):
                found[edge] = values.data_ptr() + position * step * values.element_size()
        return self._keep((ctypes.c_void_p * edges)(*found))


@dataclass(frozen=True)
class _Layout:
    """What the backward pass needs of a term besides its tensors."""

    edges: tuple[int, ...]
    shared: bool
    through: bool
    channels: int

    def first(self, edges: int) -> list[int]:
        """The first channel of z for each edge; -1 where it has none."""
        found = [-1] * edges
        for position, edge in enumerate(self.edges):
            found[edge] = 0 if self.shared else position * self.channels
        return found


def _layout(term: Term) -> _Layout:
    channels = term.z.shape[1] // (1 if term.shared else len(term.edges))
    return _Layout(term.edges, term.shared, term.through and term.mean is not None, channels)


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
        table = _Table(layouts, zs, tensors[: 2 * len(terms)], [None] * len(terms), edges)
        build.call(
            "mixture_forward",
            weights.dtype,
            *(build.sizes(*extent), table.entries, weights, build.addresses(outputs)),
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
        table = _Table(ctx.layouts, zs, moments, g_zs, weights.shape[0])
        build.call(
            "mixture_backward",
            weights.dtype,
            *(build.sizes(*ctx.extent), table.entries, weights),
            *(build.addresses(dense), g_weights),
        )
        return None, g_weights, *[None] * (2 * count), *g_zs
