"""What a network reads in a forward pass: the weights of every decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from nas.decision import Decision, Genotype


@dataclass(frozen=True)
class Weights:
    """Weights over the candidates of one decision.

    Attributes:
        values: (groups, n), differentiable. Relaxations give rows that sum to 1; a genotype gives
            rows with ``pick`` ones.
        live: indices of the candidates worth executing in any group, known without a device sync.
    """

    values: Tensor
    live: tuple[int, ...]

    def mix(self, fns: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
        """``sum_i w_i f_i(x)`` over the live candidates; one group only."""
        row = self.row
        total: Tensor | None = None
        for i in self.live:
            term = row[i] * fns[i](x)
            total = term if total is None else total + term
        if total is None:
            raise ValueError("no live candidate to mix")
        return total

    def gates(self) -> Tensor:
        """Nested gates (groups, n): ``g_j = sum_{i>=j} w_i``, so 1 = g_0 >= g_1 >= ..."""
        return self._gates

    @cached_property
    def _gates(self) -> Tensor:
        # Many layers may share a decision: computed once for all of them.
        return self.values.flip(-1).cumsum(-1).flip(-1)

    def expect(self, per_candidate: Tensor) -> Tensor:
        """``sum_i w_i v_i`` per group, shape (groups,), for values (n,) or (groups, n)."""
        return (self.values * per_candidate.to(self.values)).sum(-1)

    @property
    def row(self) -> Tensor:
        """The only row, shape (n,); raises ValueError if there are several groups."""
        if self.values.shape[0] != 1:
            raise ValueError(f"defined for one group only, got {self.values.shape[0]} groups")
        return self.values[0]

    @property
    def index(self) -> int:
        """The chosen candidate; raises ValueError unless the weights are one-hot, in one group."""
        if len(self.live) != 1 or self.values.shape[0] != 1:
            raise ValueError(
                f"needs one-hot weights of one group, got {len(self.live)} live candidates in "
                f"{self.values.shape[0]} group(s); use a sampled relaxation"
            )
        return self.live[0]

    def detach(self) -> Weights:
        """The same weights, outside the graph."""
        return Weights(self.values.detach(), self.live)


Deferred = Callable[[Tensor], Weights]  # weights that need evidence measured during the forward
Arch = Mapping[str, Weights | Deferred]


def detach(arch: Arch) -> Arch:
    """The same architecture, outside the graph; deferred entries resolve to detached weights."""

    def outside(deferred: Deferred) -> Deferred:
        return lambda evidence: deferred(evidence).detach()

    return {
        name: weights.detach() if isinstance(weights, Weights) else outside(weights)
        for name, weights in arch.items()
    }


def k_hot(
    decision: Decision, positions: Sequence[Sequence[int]], like: Tensor | None = None
) -> Weights:
    """Weights with ones at ``positions`` (one sequence per group) and zeros elsewhere."""
    values = torch.zeros(
        decision.groups,
        len(decision),
        dtype=like.dtype if like is not None else None,
        device=like.device if like is not None else None,
    )
    for group, chosen in enumerate(positions):
        values[group, list(chosen)] = 1.0
    live = sorted({i for chosen in positions for i in chosen})
    return Weights(values, tuple(live))


def from_genotype(
    decisions: Mapping[str, Decision], genotype: Genotype, like: Tensor | None = None
) -> dict[str, Weights]:
    """One-hot weights (``pick`` ones per row) for every decision that ``genotype`` takes."""
    return {
        name: k_hot(decision, decision.positions(genotype[name]), like)
        for name, decision in decisions.items()
        if name in genotype
    }


def inclusion(values: Tensor, pick: int) -> Tensor:
    """Probability (n,) that each candidate is among ``pick`` draws without replacement.

    The draws follow ``values`` (n,), normalised; for two draws this is
    ``p_i + sum_{j != i} p_j p_i / (1 - p_j)``. It sums to ``pick`` and is exact on k-hot weights.
    """
    p = _shares(values)
    if pick == 1:
        return p
    if pick >= len(p):
        return torch.ones_like(p)
    total = torch.zeros_like(p)
    for first in range(len(p)):
        rest = inclusion(_without(values, first), pick - 1)
        drawn = torch.cat([rest[:first], rest.new_ones(1), rest[first:]])
        total = total + p[first] * drawn
    return total


def set_probability(values: Tensor, kept: Sequence[int]) -> Tensor:
    """Probability that ``len(kept)`` draws without replacement give exactly ``kept``; scalar.

    The draws are those of ``inclusion``, which sums this over all sets that hold a candidate.
    """
    if not kept:
        return values.new_ones(())
    p = _shares(values)
    total = values.new_zeros(())
    for first in kept:
        rest = [other - (other > first) for other in kept if other != first]
        total = total + p[first] * set_probability(_without(values, first), rest)
    return total


def _shares(values: Tensor) -> Tensor:
    """``values`` (n,) scaled to sum to 1; equal shares where nothing is left to draw from."""
    total = values.sum()
    nothing = total == 0
    even = torch.full_like(values, 1 / max(1, len(values)))
    return torch.where(nothing, even, values / torch.where(nothing, 1.0, total))


def _without(values: Tensor, index: int) -> Tensor:
    return torch.cat([values[:index], values[index + 1 :]])


def entropy(weights: Weights) -> Tensor:
    """Mean entropy of the rows, in nats; scalar."""
    total: Tensor = torch.special.entr(weights.values).sum(-1).mean()
    return total


def entropies(arch: Arch) -> dict[str, float]:
    """Mean entropy, in nats, of the decisions that share a first part (``normal``, ``reduce``)."""
    found: dict[str, list[float]] = {}
    for name, weights in arch.items():
        if isinstance(weights, Weights):
            value = float(entropy(weights.detach()))
            found.setdefault(name.split("/")[0], []).append(value)
    return {prefix: sum(values) / len(values) for prefix, values in found.items()}


def distance(a: Arch, b: Arch) -> float:
    """Mean total-variation distance (0 to 1) of the scaled rows of the decisions in both."""
    shared = [n for n in a if n in b and isinstance(a[n], Weights) and isinstance(b[n], Weights)]
    if not shared:
        raise ValueError("the two architectures have no decision in common")
    total = 0.0
    for name in shared:
        left, right = cast(Weights, a[name]).values, cast(Weights, b[name]).values
        left, right = left / left.sum(-1, keepdim=True), right / right.sum(-1, keepdim=True)
        total += float(0.5 * (left - right).abs().sum(-1).mean())
    return total / len(shared)
