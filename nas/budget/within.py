"""The genotype that a policy prefers among those within the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.arch import Arch, Weights
from nas.budget.feasible import cheapest
from nas.budget.limits import Limits
from nas.costs import Cost
from nas.decision import Choice
from nas.space import SearchSpace, decisions_of, discretize, only_active

GROWTH, TIGHTER, BISECTIONS = 1.5, 40, 12


@dataclass(frozen=True)
class Within:
    """A derivation under limits.

    Attributes:
        choices: the genotype; it keeps to the limits wherever ``excess`` is 0 or less.
        excess: its largest relative excess over a limit.
        plain: what would have been derived without limits.
        plain_excess: of that.
    """

    choices: dict[str, Choice]
    excess: float
    plain: dict[str, Choice]
    plain_excess: float


def within(space: SearchSpace, arch: Arch, costs: Mapping[str, Cost], limits: Limits) -> Within:
    """Derive from ``arch``, the policy's probabilities, under the limits.

    Where the plain derivation is beyond them, candidates are made less likely by what they cost:
    ``p_o exp(-mu . c_o)``, with ``c_o`` the gradient of each expected cost in ``p_o`` relative to
    its limit, and ``mu`` the smallest multipliers found at which the space's own derivation keeps
    to the limits. Choices of the plain derivation are then put back while the limits hold. Where no
    multipliers do, it is the genotype that coordinate descent finds (`cheapest`).

    Args:
        space: whose ``discretize`` derives.
        arch: weights of the policy's decisions, soft.
        costs: those that are limited, by name.
        limits: on them.
    """
    plain = discretize(space, arch)
    plain_excess = limits.excess(plain)
    if plain_excess <= 0:
        return Within(plain, plain_excess, plain, plain_excess)
    tilt = Tilt(space, arch, {name: costs[name] for name in limits.maxima}, limits)
    found = tilt.feasible()
    if found is None:
        found = cheapest(space, limits, plain, enough=0.0)[0]
    if limits.met(found):
        found = _restored(space, plain, found, limits)
    return Within(found, limits.excess(found), plain, plain_excess)


class Tilt:
    """Probabilities weighed by cost, and what is derived from them.

    Args:
        space, arch, costs, limits: as of `within`.
    """

    def __init__(
        self, space: SearchSpace, arch: Arch, costs: Mapping[str, Cost], limits: Limits
    ) -> None:
        self.space, self.limits, self.names = space, limits, tuple(limits.maxima)
        self.arch = {
            name: Weights(weights.values.detach().double().cpu(), weights.live)
            for name, weights in arch.items()
            if isinstance(weights, Weights)
        }
        self.slopes = {name: self._slopes(costs[name], limits.maxima[name]) for name in self.names}

    def _slopes(self, cost: Cost, most: float) -> dict[str, Tensor]:
        """The gradient of the expected cost, relative to its limit, in every weight."""
        leaves = {name: w.values.clone().requires_grad_() for name, w in self.arch.items()}
        given = {name: Weights(leaves[name], self.arch[name].live) for name in leaves}
        value = cost(given) / most
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if slope is None else slope
            for (name, leaf), slope in zip(leaves.items(), found, strict=True)
        }

    def derive(self, mu: Mapping[str, float]) -> dict[str, Choice]:
        """What the space derives from the weights under the multipliers ``mu``."""
        tilted = {}
        for name, weights in self.arch.items():
            push = sum(mu[cost] * self.slopes[cost][name] for cost in self.names)
            logits = weights.values.log() - push
            tilted[name] = Weights(logits.softmax(-1), weights.live)
        return discretize(self.space, tilted)

    def feasible(self) -> dict[str, Choice] | None:
        """The genotype at the smallest multipliers found that meet the limits; None if none do."""
        mu, last = self._tight()
        if last is None:
            return None
        low, high, best = 0.0, 1.0, last
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            found = self.derive({name: middle * value for name, value in mu.items()})
            if self.limits.met(found):
                high, best = middle, found
            else:
                low = middle
        return best

    def _tight(self) -> tuple[dict[str, float], dict[str, Choice] | None]:
        """Multipliers that grow, those of broken limits alone, until all limits hold."""
        mu = dict.fromkeys(self.names, 0.0)
        choices = self.derive(mu)
        for _ in range(TIGHTER):
            costs = self.limits.cost_of(choices)
            broken = [name for name in self.names if costs[name] > self.limits.maxima[name]]
            if not broken:
                return mu, choices
            for name in broken:
                mu[name] = GROWTH * mu[name] + 1.0
            choices = self.derive(mu)
        return mu, None


def _restored(
    space: SearchSpace,
    plain: Mapping[str, Choice],
    found: Mapping[str, Choice],
    limits: Limits,
) -> dict[str, Choice]:
    """The genotype with choices of the plain derivation put back, one by one, while limits hold."""
    known = decisions_of(space)
    full = {**plain, **found}  # what a restored choice may make active again
    changed = True
    while changed:
        changed = False
        for name in known:
            if name not in plain or full.get(name) == plain[name]:
                continue
            trial = {**full, name: plain[name]}
            if limits.met(only_active(space, trial)):
                full, changed = trial, True
    return only_active(space, full)
