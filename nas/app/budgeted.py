"""A run's budget: whether it can be met, told before training, and derivation under it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from nas.analysis.summary import plain
from nas.app.limits import limits as limits_of
from nas.app.objective import limits_at
from nas.budget import Limits, Within, cheapest, filled, within
from nas.build import Parts
from nas.engine.rng import derive_seed
from nas.errors import ConfigError
from nas.policies import conditional
from nas.space import decisions_of, discretize, sample

DRAWN = 200  # networks that tell how tight a budget is


def outlook(parts: Parts) -> list[tuple[str, str]]:
    """What random networks cost beside each limit, as rows of a table; nothing without limits.

    Raises ConfigError where no network keeps to the budget, as far as can be found.
    """
    limits = parts.limits
    if limits is None:
        return []
    generator = torch.Generator().manual_seed(derive_seed(0, "budget"))
    drawn = [sample(parts.space, generator) for _ in range(DRAWN)]
    costs = [parts.cost_of(choices) for choices in drawn]
    inside = sum(all(c[n] <= most for n, most in limits.maxima.items()) for c in costs)
    if not inside:
        _check_possible(parts, limits)
    rows = []
    for name, most in limits.maxima.items():
        values = sorted(each[name] for each in costs)
        known = ", ".join(map(plain, (values[0], median(values), values[-1])))
        rows.append(
            (
                f"budget {name}",
                f"at most {plain(most)}; random networks {known} (least, median, most)",
            )
        )
    return [*rows, ("within", f"{inside} of {DRAWN} random networks keep to the budget")]


def _check_possible(parts: Parts, limits: Limits) -> None:
    choices, excess = cheapest(parts.space, limits, enough=0.0)
    if excess <= 0:
        return
    costs = parts.cost_of(choices)
    known = ", ".join(f"{name} {plain(costs[name])}" for name in limits.maxima)
    one = len(limits.maxima) == 1
    raise ConfigError(
        f"{limits.text} cannot be met: {'the smallest' if one else 'the nearest'} network found "
        f"has {known}{'' if one else f', {excess:.0%} too much'}; raise the limit, or make all "
        "networks smaller (space.network_channels, space.network_cells and the like)"
    )


def derived(parts: Parts) -> Within:
    """The genotype of the policy as it is now, under the budget; the plain one without limits."""
    arch = parts.policy.probabilities()
    if parts.limits is None:
        choices = discretize(parts.space, arch)
        return Within(choices, 0.0, choices, 0.0)
    return within(parts.space, arch, parts.costs, parts.limits)


def derived_at(parts: Parts, cost: str, target: float) -> Within:
    """The genotype of a policy told this target, under the budget and this share of the cost.

    Where these leave room, ladders are raised. Raises ConfigError for a policy without condition.
    """
    policy = copy.deepcopy(parts.policy)
    conditional(policy).condition = target
    arch, limits = policy.probabilities(), limits_at(parts, cost, target)
    found = within(parts.space, arch, parts.costs, limits)
    if found.excess > 0:
        return found
    full = filled(decisions_of(parts.space), arch, found.choices, limits)
    return replace(found, choices=full, excess=limits.excess(full))


def record(parts: Parts, found: Within) -> dict[str, Any]:
    """What a derivation under limits leaves: costs with and without them, and a sentence on it."""
    return {
        "method": "policy within the budget",
        "plain": parts.cost_of(found.plain),
        "costs": parts.cost_of(found.choices),
        "limits": limits_of(parts.cfg),
        "changed": _changed(found.plain, found.choices),
        "sentence": sentence(found),
    }


def sentence(found: Within) -> str:
    """How the budget decided on the genotype."""
    if found.excess > 0:
        return (
            f"no architecture within the budget was found; this one misses it by {found.excess:.1%}"
        )
    if found.plain_excess <= 0:
        return "the policy's architecture keeps to the budget by itself"
    changed = _changed(found.plain, found.choices)
    return (
        f"the policy's architecture would miss the budget by {found.plain_excess:.1%}; "
        f"{changed} choices were changed to keep to it"
    )


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """In how many decisions two genotypes differ, those that one of them lacks included."""
    return sum(one.get(name) != other.get(name) for name in {*one, *other})
