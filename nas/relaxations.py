"""From logits to weights: how a policy relaxes or samples its decisions.

A relaxation is called once per stack of equally long decisions. Rows are decisions (or the groups
of one); ``mask`` says which candidates are allowed; masked candidates get exactly 0.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

Live = list[tuple[int, ...]]
FORBIDDEN = -1e9  # a finite score, so that differences of two exist; sigmoids of it are 0 and 1


class Relaxation(Protocol):
    """Turns logits (rows, n) into weights (rows, n) and the live candidates of each row."""

    soft: bool

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """Weights like ``logits``, and the candidates of each row worth executing."""
        ...


def capturable(part: object) -> bool:
    """Whether a part says that it can run inside a CUDA graph, and its own class does.

    What a class inherits says nothing of what it adds.
    """
    return "capturable" in vars(type(part)) and bool(getattr(part, "capturable"))  # noqa: B009


def probabilities(logits: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """Row-wise softmax of ``logits / temperature`` over the allowed candidates; shape (rows, n).

    A mask on the CPU travels to the device only where it forbids something.
    """
    scores = logits / temperature
    if mask.device.type == "cpu" and bool(mask.all()):
        return scores.softmax(-1)
    return scores.masked_fill(~mask.to(logits.device), -torch.inf).softmax(-1)


def allowed(mask: Tensor) -> Live:
    """Indices of the allowed candidates per row; masks live on the CPU, so this needs no sync."""
    return [tuple(i for i, keep in enumerate(row) if keep) for row in mask.tolist()]


def gumbel(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise like ``logits``, drawn on the CPU so that runs agree over devices."""
    uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    return -(-(uniform.clamp_min(tiny).log())).clamp_min(tiny).log().to(logits)


def _top(scores: Tensor, pick: int) -> tuple[Tensor, Live]:
    """K-hot rows at the ``pick`` largest scores, and their indices."""
    chosen = scores.topk(pick, dim=-1).indices.sort(-1).values
    hard = torch.zeros_like(scores).scatter(-1, chosen, 1.0)
    return hard, [tuple(row) for row in chosen.tolist()]


class Softmax:
    """``softmax(logits / temperature)`` (DARTS, arXiv 1806.09055, eq. 2).

    Attributes:
        soft: gives soft weights.
        capturable: draws nothing, and what is live depends on the mask alone.
    """

    soft, capturable = True, True

    def __init__(self, temperature: float = 1.0) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """Softmax rows; every allowed candidate is live."""
        return probabilities(logits, mask, self.temperature), allowed(mask)


class Gumbel:
    """Gumbel-softmax at a temperature; ``hard`` gives one-hot rows with the soft gradient.

    Soft form: SNAS (arXiv 1812.09926, eq. 4); hard form with the straight-through gradient: GDAS
    (arXiv 1910.04465, eq. 5). With ``pick`` > 1 the hard form keeps the ``pick`` largest perturbed
    logits, which is sampling without replacement.
    """

    def __init__(self, temperature: float = 1.0, hard: bool = True) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature, self.hard = temperature, hard
        self.soft = not hard

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """Perturbed rows; hard ones are k-hot, and only what they keep is live."""
        # Log-probabilities would differ from logits by a constant per row, which the softmax drops.
        noisy = logits + gumbel(logits, generator)
        here = mask.to(logits.device)
        weights = probabilities(noisy, here, self.temperature)
        if not self.hard:
            return weights, allowed(mask)
        # By score: at a low temperature, weights of allowed candidates underflow to 0 as well.
        chosen, live = _top(noisy.detach().masked_fill(~here, -torch.inf), pick)
        return chosen + pick * (weights - weights.detach()), live


class SinglePath:
    """One sampled path: k-hot rows drawn from the softmax, with a straight-through gradient."""

    soft = False

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """K-hot rows; only what they keep is live."""
        here = mask.to(logits.device)
        p = probabilities(logits, here)
        scores = logits.detach().masked_fill(~here, -torch.inf) + gumbel(logits, generator)
        chosen, live = _top(scores, pick)
        return chosen + chosen * (p - p.detach()), live


class UniformPath:
    """One path, uniform over the allowed candidates whatever the logits (SPOS, 1904.00420)."""

    soft = False

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """K-hot rows without gradient; only what they keep is live."""
        # Drawn on the CPU from the mask alone, so that `live` needs no device synchronisation.
        noise = torch.rand(mask.shape, generator=generator).masked_fill(~mask, -1.0)
        chosen, live = _top(noise, pick)
        return chosen.to(logits), live


class HardConcrete:
    """Drawn gates of a nested decision, most of them exactly 0 or 1 (Bayesian Bits, 2005.07093).

    ``z = clamp(s (high - low) + low, 0, 1)`` with ``s = sigmoid((noise + phi) / temperature)`` and
    logistic noise (Louizos et al., arXiv 1712.01312, eq. 10 and 11), where ``phi_j`` is the
    log-odds of going on from candidate j - 1 that the softmax of the logits has (`log_odds`; the
    papers learn ``phi`` itself). A gate counts as far as all before it are open.

    Attributes:
        soft: gives soft weights.

    Args:
        temperature: of the concrete distribution.
        low: below 0, so that gates can be exactly 0.
        high: above 1, so that they can be exactly 1.

    Raises:
        ValueError: for numbers out of range.
    """

    soft = True

    def __init__(self, temperature: float = 2 / 3, low: float = -0.1, high: float = 1.1) -> None:
        if not (temperature > 0 and low < 0 and high > 1):
            raise ValueError(
                "hard-concrete gates need temperature > 0, low < 0 and high > 1, "
                f"got {temperature}, {low}, {high}"
            )
        self.temperature, self.low, self.high = temperature, low, high

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """Rows ``z_1 .. z_j (1 - z_{j+1})``; every allowed candidate is live."""
        phi = log_odds(logits, mask)
        soft = torch.sigmoid((logistic(phi, generator) + phi) / self.temperature)
        gates = (soft * (self.high - self.low) + self.low).clamp(0.0, 1.0)
        return stick_breaking(gates), allowed(mask)


class BinaryGates:
    """Gates of a nested decision, drawn as 0 or 1; the gradient goes straight through each.

    Gate j opens with the probability that the softmax of the logits has of going on from candidate
    j - 1, so that candidates are drawn from that softmax; each gate has the gradient of its
    probability (straight-through estimator of Bengio et al., arXiv 1308.3432).

    Attributes:
        soft: gives one-hot weights.
    """

    soft = False

    def __call__(
        self, logits: Tensor, mask: Tensor, pick: int, generator: torch.Generator
    ) -> tuple[Tensor, Live]:
        """One-hot rows; only what they keep is live. Raises ValueError for several to keep."""
        if pick > 1:
            raise ValueError(f"gates keep one candidate of a nested decision, not {pick}")
        phi = log_odds(logits, mask)
        soft = torch.sigmoid(phi)
        hard = (logistic(phi, generator) + phi.detach() > 0).to(phi)
        weights = stick_breaking(hard + (soft - soft.detach()))
        return weights, [(int(index),) for index in weights.detach().argmax(-1).tolist()]


def log_odds(logits: Tensor, mask: Tensor) -> Tensor:
    """Of going on to a later candidate, given that one has come so far: (rows, n - 1).

    ``log(sum_{i > j} exp(a_i)) - a_j`` over the allowed candidates. The sigmoids of these, stick by
    stick, are the softmax of the logits again.
    """
    scores = logits.masked_fill(~mask.to(logits.device), FORBIDDEN)
    later = scores.flip(-1).logcumsumexp(-1).flip(-1)
    return later[:, 1:] - scores[:, :-1]


def stick_breaking(gates: Tensor) -> Tensor:
    """Weights (rows, n) of gates (rows, n - 1): ``w_j = g_1 .. g_j (1 - g_{j+1})``.

    A gate counts as far as all before it are open. `Weights.gates` of them is ``g_1 .. g_j``.
    """
    opened = torch.cat([torch.ones_like(gates[:, :1]), gates.cumprod(-1)], -1)
    after = torch.cat([opened[:, 1:], torch.zeros_like(opened[:, :1])], -1)
    return opened - after


def logistic(like: Tensor, generator: torch.Generator) -> Tensor:
    """Logistic noise ``log(u / (1 - u))``, drawn on the CPU so that runs agree over devices."""
    tiny = torch.finfo(torch.float64).tiny
    uniform = torch.rand(like.shape, generator=generator, dtype=torch.float64).clamp_min(tiny)
    return (uniform.log() - torch.log1p(-uniform)).to(like)
