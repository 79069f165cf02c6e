"""Convolutions whose rank is a decision: one set of factors, of which each candidate takes more."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.arch import Weights
from nas.compression.factors import Kept, keep_channels, kept_of
from nas.compression.forms import Factorized, Layer, form_of, sizes_of
from nas.compression.low_rank import break_even, factors, filled, full_rank, skeleton
from nas.compression.quantized import SETTINGS, quantized_layer, taken_apart, with_quantized
from nas.compression.quantizer import Quantizer
from nas.decision import Candidate, Decision
from nas.searchable import MixedOp
from nas.searchable.scope import unmarked
from nas.supernet import Slot, frozen

Convolution = nn.Conv1d | nn.Conv2d
FULL = "full"  # the last candidate: the layer as it is


def rank_of(layer: Convolution, form: str, share: float) -> int:
    """The rank of a share of the break-even one: rounded down, at least 1."""
    return max(1, math.floor(share * break_even(layer, form)))


class RankedWeight(nn.Module):
    """A weight as ``left @ diag(gates) @ right``, components in the order of singular values.

    The components between two ranks share the gate of the higher one, so that one-hot weights keep
    exactly the first ones; those behind the last rank are there for the candidate ``full`` alone.
    They start as the singular value decomposition of the layer's weight. As long as the
    architecture at hand lacks the decision, all are there.

    Args:
        layer: a plain convolution in one group; not changed.
        form: channel, spatial or decouple.
        ranks: nested, shares of the break-even rank and then ``full``.
    """

    level: Tensor

    def __init__(self, layer: Convolution, form: str, ranks: Decision) -> None:
        super().__init__()
        self.form, self.slot = form, Slot(ranks)
        most = full_rank(layer, form)
        shares = cast("Sequence[float]", ranks.candidates[:-1])
        self.ranks = (*(rank_of(layer, form, share) for share in shares), most)
        left, right = (factor.to(layer.weight) for factor in factors(layer, form, most))
        self.left, self.right = nn.Parameter(left), nn.Parameter(right)
        places = torch.arange(most, device=left.device)
        bounds = torch.tensor(self.ranks, device=left.device)
        self.register_buffer("level", torch.bucketize(places, bounds, right=True), persistent=False)
        self.layer: Convolution  # for its settings; its own tensors are on no device
        self.__dict__["layer"] = copy.deepcopy(layer).to("meta")

    def forward(self) -> Tensor:
        """The weight (N, C, ...) under the bound architecture."""
        if not self.slot.bound:
            return self._weight(self.left)
        seen = self._evidence() if self.slot.deferred else None
        weights: Weights = self.slot(seen)
        return self._weight(self.left * weights.gates()[0, self.level])

    @torch.no_grad()
    def settled(self, bias: Tensor | None) -> nn.Module:
        """Two plain convolutions of the chosen rank, or one where that is ``full``."""
        layer = copy.deepcopy(self.layer).to_empty(device=self.left.device).to(self.left.dtype)
        layer.weight.copy_(self._weight(self.left))
        if bias is not None:
            cast(Tensor, layer.bias).copy_(bias)
        index = self.slot().index if self.slot.bound else len(self.ranks) - 1
        if index == len(self.ranks) - 1:
            return layer
        rank = self.ranks[index]
        return filled(layer, self.form, self.left[..., :rank], self.right[..., :rank, :])

    def extra_repr(self) -> str:
        """Form and ranks."""
        return f"form={self.form}, ranks={self.ranks}"

    def _weight(self, left: Tensor) -> Tensor:
        matrix: Tensor = left @ self.right
        weight = form_of(self.form).weight(matrix, sizes_of(self.layer))
        return weight.reshape(self.layer.weight.shape)

    def dense(self) -> Tensor:
        """The weight with all components."""
        return self._weight(self.left)

    @torch.no_grad()
    def _evidence(self) -> Tensor:
        """How much of the weight each further rank adds, as a share of its norm: (1, n - 1)."""
        sizes = self.left.norm(dim=-2) * self.right.norm(dim=-1)
        energy = sizes.square().reshape(-1, sizes.shape[-1]).sum(0)
        added = [energy[low:high].sum() for low, high in pairwise(self.ranks)]
        shares: Tensor = torch.stack(added) / energy.sum().clamp_min(1e-12)
        return shares.sqrt()[None]


class RankedConv1d(nn.Conv1d):
    """A convolution of (N, C, L) whose rank is a decision; it holds factors and no weight."""

    factors: RankedWeight
    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', L'), by one convolution with the product of the factors."""
        return _run(self, x)

    @property
    def owned(self) -> tuple[Decision, ...]:
        """That over ranks."""
        return (self.factors.slot.decision,)

    def freeze(self) -> nn.Module:
        """Two convolutions of the chosen rank, or a dense one."""
        return _settled(self)


class RankedConv2d(nn.Conv2d):
    """A convolution of (N, C, H, W) whose rank is a decision; it holds factors and no weight."""

    factors: RankedWeight
    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C', H', W'), by one convolution with the product of the factors."""
        return _run(self, x)

    @property
    def owned(self) -> tuple[Decision, ...]:
        """That over ranks."""
        return (self.factors.slot.decision,)

    def freeze(self) -> nn.Module:
        """Two convolutions of the chosen rank, or a dense one."""
        return _settled(self)


RankedConv = RankedConv1d | RankedConv2d


def ranked(layer: Convolution, form: str, ranks: Decision) -> RankedConv:
    """The convolution with its rank as a decision; bias and quantizers are the same ones.

    Where there are bits as well, the supernet quantizes the product of the factors once; the
    network quantizes each factor, and what goes from one to the other.
    """
    plain, weights, inputs = taken_apart(layer)
    make = RankedConv1d if isinstance(plain, nn.Conv1d) else RankedConv2d
    settings: dict[str, Any] = {name: getattr(plain, name) for name in SETTINGS}
    with torch.device("meta"):
        made = make(**settings, bias=plain.bias is not None)
    del made.weight
    made.register_parameter("bias", cast("nn.Parameter | None", plain.bias))
    made.factors = RankedWeight(cast(Convolution, plain), form, ranks)
    made.weight_quantizer, made.input_quantizer = weights, inputs
    return made.train(layer.training)


def _run(layer: RankedConv, x: Tensor) -> Tensor:
    weight = layer.weight_quantizer(layer.factors())
    return with_quantized(
        layer.input_quantizer,
        x,
        lambda q: cast(Tensor, layer._conv_forward(q, weight, layer.bias)),
    )


def _settled(layer: RankedConv) -> nn.Module:
    made = layer.factors.settled(layer.bias)
    weights, inputs = layer.weight_quantizer, layer.input_quantizer
    if isinstance(made, Factorized):
        # What a factor holds, and what goes between the two, has other values than the supernet
        # knew; only what the first one reads is the same.
        made.first = in_bits(made.first, _fit(weights, made.first), frozen(inputs))
        made.second = in_bits(made.second, _fit(weights, made.second), _anew(inputs))
    else:
        made = in_bits(cast(Convolution, made), frozen(weights), frozen(inputs))
    return made.train(layer.training)


def in_bits(layer: Layer, weights: nn.Module, inputs: nn.Module) -> Layer:
    """The layer in quantized numbers; itself where both are ``nn.Identity``."""
    plain = isinstance(weights, nn.Identity) and isinstance(inputs, nn.Identity)
    return layer if plain else quantized_layer(layer, weights, inputs)


def _anew(quantizer: nn.Module) -> nn.Module:
    """A quantizer of the chosen bits that the first batch of a training calibrates."""
    return quantizer.anew() if isinstance(quantizer, Quantizer) else quantizer


def _fit(quantizer: nn.Module, layer: Layer) -> nn.Module:
    """A quantizer of the chosen bits for the weight of a layer."""
    made = _anew(quantizer)
    if isinstance(made, Quantizer):
        made.calibrate(made.brought(layer.weight.detach()))
    return made


class RankChoice(MixedOp):
    """What a convolution with a decision on its rank freezes to, side by side: for counting costs.

    Layers in it share the decisions on bits, and note which channels are kept.

    Args:
        layer: a convolution whose rank is a decision.
    """

    def __init__(self, layer: RankedConv) -> None:
        form, plain, kept = layer.factors.form, layer.factors.layer, kept_of(layer)
        weights, inputs = layer.weight_quantizer, layer.input_quantizer

        def make(candidate: Candidate) -> nn.Module:
            if candidate == FULL:
                whole = in_bits(copy.deepcopy(plain), weights, inputs)
                keep_channels(whole, kept)
                return whole
            made = skeleton(plain, form, rank_of(plain, form, float(candidate)))
            made.first = in_bits(made.first, copy.deepcopy(weights), copy.deepcopy(inputs))
            made.second = in_bits(made.second, copy.deepcopy(weights), copy.deepcopy(inputs))
            keep_channels(made.first, Kept(inputs=kept.inputs))
            keep_channels(made.second, Kept(outputs=kept.outputs))
            return made

        super().__init__(layer.factors.slot.decision, make)
        for part in self.ops.values():  # whatever the rank is, bits have one decision
            unmarked(part)

    @property
    def owned(self) -> tuple[Decision, ...]:
        """That over ranks."""
        return (self.slot.decision,)


def with_choices(net: nn.Module) -> nn.Module:
    """The network with every rank's layers side by side, in place: the form that has costs."""
    for name, part in list(net.named_modules()):
        if isinstance(part, RankedConv):
            net.set_submodule(name, RankChoice(part))
    return net
