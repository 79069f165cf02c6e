"""From logits to weights: how a policy relaxes or samples its decisions.

A relaxation is called once per stack of equally long decisions. Rows are decisions (or the groups
of one); ``mask`` says which candidates are allowed; masked candidates get exactly 0.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

Live = list[tuple[int, ...]]


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
