"""Layers of low rank: how a weight is cut to a rank, what that costs, and the two layers it gives.

The forms are those of trained rank pruning (arXiv 2004.14566, 1910.04576): channel-wise, spatial,
and network decoupling; see ``nas.compression.forms``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nas.compression.forms import (
    LAYERS,
    Factorized,
    Form,
    Layer,
    axes_of,
    check_layer,
    form_of,
    sizes_of,
)
from nas.errors import SpaceError

WORTH = 0.8  # of the break-even rank: a rank above it saves too little to be worth two layers


def full_rank(layer: nn.Module, form: str, name: str = "layer") -> int:
    """The rank at which a layer's two factors hold any weight: the matrix's smaller side.

    Raises SpaceError for a layer that cannot be taken apart in this form.
    """
    known = check_layer(layer, form, name)
    return min(known.matrix_size(sizes_of(cast(Layer, layer))))


def break_even(layer: nn.Module, form: str, name: str = "layer") -> float:
    """The rank at which both factors have as many weights as the layer; no whole number.

    At stride 1 with padding that keeps the size, multiply-accumulates break even there as well, in
    form ``channel`` at any stride: ``N C kh kw / (C kh kw + N)`` there, ``N C kh kw / (C kh + N
    kw)`` in form ``spatial``, ``C kh kw / (C + kh kw)`` in form ``decouple``.

    Raises SpaceError for a layer that cannot be taken apart in this form.
    """
    rows, columns = check_layer(layer, form, name).matrix_size(sizes_of(cast(Layer, layer)))
    return rows * columns / (rows + columns)


def worth(rank: int, layer: nn.Module, form: str, name: str = "layer") -> bool:
    """Whether a rank is at most 0.8 times the break-even one, so that two layers save something."""
    return rank <= WORTH * break_even(layer, form, name)


def macs(
    layer: nn.Module, form: str, rank: int, size: Sequence[int] = (), name: str = "layer"
) -> int:
    """Multiply-accumulates of both factors for one input.

    Args:
        layer: a convolution or linear layer.
        form: channel, spatial or decouple.
        rank: of the factors.
        size: of the input along the axes of the kernel; a linear layer has none.
        name: of the layer, for the sentence.

    Raises:
        SpaceError: for a layer that cannot be taken apart so, a rank or a size out of range.
    """
    known = _checked(layer, form, rank, name)
    assert isinstance(layer, LAYERS)
    if len(size) != axes_of(layer):
        raise SpaceError(
            f"{name!r} runs along {axes_of(layer)} axes, got an input of size {tuple(size)}; give "
            "one number for each axis"
        )
    with torch.device("meta"):
        made = known.pair(layer, rank)
        x = torch.empty(1, layer.weight.shape[1], *size, dtype=layer.weight.dtype)
    total = 0
    for part in (made.first, made.second):
        x = part(x)
        total += part.weight.numel() * math.prod(x.shape[2:])
    return total


def rank_by_energy(singular_values: Tensor, energy: float) -> int:
    """The smallest rank that keeps a share of the energy, at least 1.

    ``sum_{i <= r} s_i^2 >= energy * sum_i s_i^2``; of several matrices the largest such rank.

    Args:
        singular_values: (..., k), descending.
        energy: above 0, at most 1.
    """
    check_energy(energy, "energy")
    squares = singular_values.detach().double().square()
    kept = squares.cumsum(-1)
    ranks = (kept < energy * kept[..., -1:]).sum(-1) + 1
    return int(ranks.max().clamp_max(singular_values.shape[-1]))


def check_energy(energy: float, what: str) -> float:
    """A share of the energy; SpaceError unless it is above 0 and at most 1."""
    if not 0 < energy <= 1:
        raise SpaceError(f"{what} is a share above 0 and at most 1, got {energy}")
    return float(energy)


@torch.no_grad()
def decomposed(layer: Layer, form: str) -> tuple[Tensor, Tensor, Tensor]:
    """``U`` (..., rows, k), ``S`` (..., k) descending and ``V^T`` (..., k, columns) of a weight."""
    weight = layer.weight.detach().reshape(sizes_of(layer))
    matrix = check_layer(layer, form).matrix(weight)
    if matrix.dtype in (torch.float16, torch.bfloat16):
        matrix = matrix.float()
    found: tuple[Tensor, Tensor, Tensor] = torch.linalg.svd(matrix, full_matrices=False)
    return found


def skeleton(layer: nn.Module, form: str, rank: int, name: str = "layer") -> Factorized:
    """The two layers in place of ``layer``, freshly initialized: what stored factors fit into.

    Raises SpaceError for a layer that cannot be taken apart so, and a rank out of range.
    """
    known = _checked(layer, form, rank, name)
    assert isinstance(layer, LAYERS)
    with layer.weight.device:
        return known.pair(layer, rank).train(layer.training)


@torch.no_grad()
def filled(layer: Layer, form: str, left: Tensor, right: Tensor, name: str = "layer") -> Factorized:
    """The two layers whose weight is ``left @ right``, with the bias of ``layer``.

    Args:
        layer: whose place they take; its own weight is not read.
        form: channel, spatial or decouple.
        left: (..., rows, rank), with rows and columns as the form has them.
        right: (..., rank, columns).
        name: of the layer, for sentences.
    """
    made = skeleton(layer, form, left.shape[-1], name)
    weights = form_of(form).weights(left, right, sizes_of(layer))
    for part, weight in zip((made.first, made.second), weights, strict=True):
        part.weight.copy_(weight.reshape(part.weight.shape))
    if layer.bias is not None and made.second.bias is not None:
        made.second.bias.copy_(layer.bias)
    return made


def factorized(layer: nn.Module, form: str, rank: int, name: str = "layer") -> Factorized:
    """Two plain layers that compute what ``layer`` does with its weight cut to a rank.

    At full rank that is what ``layer`` computes, at any stride, padding and dilation; below it the
    weight is the nearest one of the rank (in form ``decouple`` for each filter). The singular
    values go to both factors in equal parts, the bias to the second.

    Args:
        layer: a ``Conv2d``, ``Conv1d`` or ``Linear`` in one group; not changed.
        form: ``channel``, ``spatial`` or ``decouple`` (``Conv2d`` alone).
        rank: from 1 to ``full_rank``.
        name: of the layer, for sentences.

    Raises:
        SpaceError: for a layer that cannot be taken apart so, and a rank out of range.
    """
    _checked(layer, form, rank, name)
    assert isinstance(layer, LAYERS)
    left, right = factors(layer, form, rank)
    return filled(layer, form, left, right, name)


def factors(layer: Layer, form: str, rank: int) -> tuple[Tensor, Tensor]:
    """``U sqrt(S)`` (..., rows, rank) and ``sqrt(S) V^T`` (..., rank, columns) of a weight."""
    u, s, vt = decomposed(layer, form)
    root = s[..., :rank].sqrt()
    return u[..., :rank] * root.unsqueeze(-2), root.unsqueeze(-1) * vt[..., :rank, :]


def with_ranks(net: nn.Module, form: str, ranks: Mapping[str, int]) -> nn.Module:
    """``net`` with the named layers as two of a rank, in place, with the weights that they had."""
    for name, rank in ranks.items():
        net.set_submodule(name, factorized(net.get_submodule(name), form, rank, name))
    return net


def skeletons(net: nn.Module, form: str, ranks: Mapping[str, int]) -> nn.Module:
    """``net`` with the named layers as two of a rank, in place, freshly initialized."""
    for name, rank in ranks.items():
        net.set_submodule(name, skeleton(net.get_submodule(name), form, rank, name))
    return net


def _checked(layer: nn.Module, form: str, rank: int, name: str) -> Form:
    most = full_rank(layer, form, name)
    if not 1 <= rank <= most:
        raise SpaceError(
            f"{name!r} has ranks from 1 to {most} in form {form!r}, got {rank}; choose one of them"
        )
    return form_of(form)
