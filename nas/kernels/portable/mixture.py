"""A weighted sum of normalized terms, for several edges at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.kernels.portable.channels import channel_sums, normalization_gradient, spread
from nas.kernels.term import Term


class Mixture(torch.autograd.Function):
    """``out_e = sum_t w[e, t] (z_t - mean_t) rstd_t``; the weight is part of the scale."""

    @staticmethod
    def forward(ctx: Any, terms: Sequence[Term], weights: Tensor, *zs: Tensor) -> Tensor:
        """Weights (E, T): the sums (N, E, C, ...)."""
        # Without their tensors: what is kept for the backward goes through save_for_backward.
        ctx.terms = [replace(term, z=weights.new_empty(0)) for term in terms]
        ctx.weights = weights
        ctx.save_for_backward(*zs)
        parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in weights]
        shifts: list[Tensor | None] = [None for _ in weights]
        for t, (term, z) in enumerate(zip(terms, zs, strict=True)):
            for place, edge in enumerate(term.edges):
                part, mean, rstd = _of_edge(term, z, place)
                scale = weights[edge, t].view(1)
                if mean is not None and rstd is not None:
                    scale = scale * rstd
                    shift, held = scale * mean, shifts[edge]
                    shifts[edge] = -shift if held is None else held - shift
                parts[edge].append((part, scale))
        sums = [_sum(p, s) for p, s in zip(parts, shifts, strict=True) if p]
        nothing = torch.zeros_like(sums[0])
        found = iter(sums)
        return torch.stack([next(found) if p else nothing for p in parts], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the weights and of every ``z``, those that are needed."""
        weights, g = ctx.weights, g.contiguous()
        gweights = torch.zeros_like(weights) if ctx.needs_input_grad[1] else None
        found: list[Tensor | None] = []
        for t, (term, z) in enumerate(zip(ctx.terms, ctx.saved_tensors, strict=True)):
            own, column = g, weights[:, t]
            if len(term.edges) < len(weights):  # by slices: an index would be sent to the device
                own = torch.stack([g[:, edge] for edge in term.edges], 1)
                column = torch.stack([column[edge] for edge in term.edges])
            gradient = _shared if term.shared and not _by_edge(term, z) else _apart
            gz, along = gradient(own, z, term, column, gweights is not None)
            if gweights is not None and along is not None:
                for place, edge in enumerate(term.edges):
                    gweights[edge, t] = along[place]
            found.append(gz)
        return None, gweights, *found


def _shared(
    g: Tensor, z: Tensor, term: Term, weights: Tensor, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of one ``z`` (N, C, ...) that all edges read, and of their weights (E,).

    The normalization is linear in ``g`` (N, E, C, ...), so that the edges are added up before it.
    """
    n, edges = g.shape[:2]
    upstream = torch.matmul(weights, g.view(n, edges, -1)).view_as(z)
    mean, rstd = term.moments()
    along = None
    if wanted:
        value = z if mean is None or rstd is None else (z - spread(mean, z)) * spread(rstd, z)
        along = torch.matmul(g.view(n, edges, -1), value.reshape(n, -1, 1)).sum(0).view(-1)
    if mean is not None and rstd is not None:
        upstream, _ = normalization_gradient(upstream, z, mean, rstd, None, term.through)
    return upstream, along


def _apart(
    g: Tensor, z: Tensor, term: Term, weights: Tensor, wanted: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of ``z``, every edge's own or with numbers of its own, and of the weights (E,)."""
    n, edges, channels, *size = g.shape
    upstream = g.view(n, edges * channels, *size)
    of_edge = z.repeat(1, edges, *([1] * len(size))) if term.shared else z
    mean, rstd = term.moments()
    scale = weights.repeat_interleave(channels)
    if mean is None or rstd is None:
        gz, along = upstream * spread(scale, g.flatten(1, 2)), channel_sums(upstream * of_edge)
    else:
        gz, along = normalization_gradient(upstream, of_edge, mean, rstd, scale, term.through)
    if term.shared:
        gz = gz.view_as(g).sum(1)
    return gz, along.view(edges, channels).sum(1)


def _by_edge(term: Term, z: Tensor) -> bool:
    """Whether a shared ``z`` has statistics that differ by edge."""
    return term.norm is not None and len(term.norm.mean) != z.shape[1]


def mixture(terms: Sequence[Term], weights: Tensor) -> tuple[Tensor, ...]:
    """The sums of every edge, (N, C, ...) each, for weights (E, T); see ``Mixture``."""
    out: Tensor = Mixture.apply(terms, weights, *(term.z for term in terms))
    return out.unbind(1)


def _slice(z: Tensor, place: int, edges: int) -> Tensor:
    size = z.shape[1] // edges
    return z[:, place * size : (place + 1) * size]


def _of_edge(term: Term, z: Tensor, place: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What one edge reads of a term."""
    part = z if term.shared else _slice(z, place, len(term.edges))
    mean, rstd = term.moments()
    if mean is None or rstd is None:
        return part, None, None
    if mean.numel() != part.shape[1]:
        size = part.shape[1]
        mean = mean[place * size : (place + 1) * size]
        rstd = rstd[place * size : (place + 1) * size]
    return part, mean, rstd


def _sum(parts: Sequence[tuple[Tensor, Tensor]], shift: Tensor | None) -> Tensor:
    """``shift + sum of scale * part`` (N, C, ...)."""
    (first, scale), *others = parts
    scale = spread(scale, first)
    out = first * scale if shift is None else torch.addcmul(spread(shift, first), first, scale)
    for part, scale in others:
        out.addcmul_(part, spread(scale, part))
    return out
