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
        terms, weights, zs = ctx.terms, ctx.weights, ctx.saved_tensors
        gweights = torch.zeros_like(weights)
        found: list[Tensor | None] = []
        for t, (term, z) in enumerate(zip(terms, zs, strict=True)):
            gz = torch.zeros_like(z) if term.shared else torch.empty_like(z)
            for place, edge in enumerate(term.edges):
                part, mean, rstd = _of_edge(term, z, place)
                weight, upstream = weights[edge, t], g[:, edge]
                if mean is None or rstd is None:
                    gpart, along = upstream * weight, None
                    if ctx.needs_input_grad[1]:
                        along = channel_sums(upstream * part)
                else:
                    scale = weight.expand_as(mean)
                    gpart, along = normalization_gradient(
                        upstream, part, mean, rstd, scale, term.through
                    )
                if along is not None:
                    gweights[edge, t] = along.sum()
                if term.shared:
                    gz += gpart
                else:
                    _slice(gz, place, len(term.edges)).copy_(gpart)
            found.append(gz)
        return None, gweights, *found


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
