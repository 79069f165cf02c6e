"""The gradient of the architecture through one unrolled step of the weights (second order)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]
Loss = Callable[[Sequence[Tensor]], Tensor]  # of the weights; the logits enter through its closure
Maybe = Tensor | None


@dataclass(frozen=True)
class SgdState:
    """What one step of SGD with momentum needs beside a gradient."""

    learning_rate: float
    momentum: float
    weight_decay: float
    buffers: Sequence[Maybe]


@dataclass(frozen=True)
class Losses:
    """The three losses of an unrolled step; they differ in batch and in the buffers they touch."""

    train: Loss  # at the current weights, for the look-ahead step
    look_ahead: Loss  # of the validation batch at the stepped weights
    perturbed: Loss  # of the training batch at w + R v and w - R v


def look_ahead(weights: Sequence[Tensor], gradient: Sequence[Maybe], sgd: SgdState) -> list[Tensor]:
    """``w' = w - xi (mu m + g + wd w)``: the weights after one step, as new leaves.

    Weights without a gradient (of operations that were not sampled) stay, as torch leaves them.
    """
    stepped = []
    for w, g, m in zip(weights, gradient, sgd.buffers, strict=True):
        moved = w.detach()
        if g is not None:
            momentum = 0.0 if m is None else sgd.momentum * m
            moved = moved - sgd.learning_rate * (momentum + g + sgd.weight_decay * moved)
        stepped.append(moved.clone().requires_grad_())
    return stepped


def unrolled_gradient(
    losses: Losses,
    weights: Sequence[Tensor],
    logits: Sequence[Tensor],
    sgd: SgdState,
    epsilon: float = 0.01,
) -> list[Maybe]:
    """``d/dalpha L_val(w'(alpha), alpha)`` by finite differences (DARTS, 1806.09055, eq. 7 and 8).

    ``g0 - xi (grad_alpha L_tr(w+) - grad_alpha L_tr(w-)) / 2R`` with ``g0 = grad_alpha L_val(w')``,
    ``w+- = w +- R v``, ``v = grad_w' L_val(w')`` and ``R = epsilon / ||v||``. The perturbed weights
    are centered on ``w``, not on ``w'``.

    Args:
        losses: of weights; the logits enter through their closures. All three must hold the same
            weights of decisions (one sample), or the difference would be one of samples.
        weights: where the step starts.
        logits: what to differentiate with respect to.
        sgd: the step's settings; ``xi`` is its learning rate.
        epsilon: length of the perturbation ``R v``.

    Returns:
        One gradient per tensor of ``logits``, None where no loss depends on it.
    """
    first = _gradient(losses.train(weights), weights)
    stepped = look_ahead(weights, first, sgd)
    grads = _gradient(losses.look_ahead(stepped), [*stepped, *logits])
    v, direct = grads[: len(stepped)], grads[len(stepped) :]
    norm = torch.sqrt(torch.stack([(g * g).sum() for g in v if g is not None]).sum())
    radius = epsilon / norm
    sides = []
    for sign in (1.0, -1.0):
        moved = [
            w.detach() if g is None else w.detach() + sign * radius * g
            for w, g in zip(weights, v, strict=True)
        ]
        sides.append(_gradient(losses.perturbed(moved), logits))
    return [
        _corrected(g0, plus, minus, sgd.learning_rate, radius)
        for g0, plus, minus in zip(direct, *sides, strict=True)
    ]


def _gradient(loss: Tensor, wanted: Sequence[Tensor]) -> Sequence[Maybe]:
    # The way from the logits to the weights of decisions is part of every loss's graph: kept for
    # the next one. The rest of the graph goes with the loss all the same.
    return torch.autograd.grad(loss, list(wanted), allow_unused=True, retain_graph=True)


def _corrected(
    direct: Maybe, plus: Maybe, minus: Maybe, learning_rate: float, radius: Tensor
) -> Maybe:
    if plus is None or minus is None:
        return direct
    implicit = -learning_rate * (plus - minus) / (2 * radius)
    return implicit if direct is None else direct + implicit
