"""Ladders raised as far as the limits allow."""

from __future__ import annotations

from collections.abc import Mapping

from nas.arch import Arch, Weights
from nas.budget.limits import Limits
from nas.decision import Choice, Decision, Genotype

UNLIKELY = -1e3  # the log of a probability that is 0 to rounding


def filled(
    decisions: Mapping[str, Decision], arch: Arch, choices: Genotype, limits: Limits
) -> dict[str, Choice]:
    """Raise ladders until none of them can be raised any more within the limits.

    Of all steps the one that the policy minds least, with the largest ratio of probabilities, new
    over old, is tried first, and taken if the limits hold. A step that breaks them is tried again
    once another one has lowered a cost (a dense layer may cost less than one of high rank).

    Args:
        decisions: nested ones are raised.
        arch: the policy's probabilities.
        choices: of the decisions, within the limits.
        limits: on the costs.
    """
    places = {n: [row[0] for row in decisions[n].positions(c)] for n, c in choices.items()}
    open_ = [name for name in choices if decisions[name].kind == "nested" and name in arch]
    log_p = {name: _logs(arch, name) for name in open_}
    steps = {
        (name, group, place)
        for name in open_
        for group, now in enumerate(places[name])
        for place in range(now + 1, len(decisions[name]))
    }

    def gain(step: tuple[str, int, int]) -> tuple[float, tuple[str, int, int]]:
        name, group, place = step
        row = log_p[name][group]
        return row[place] - row[places[name][group]], step

    found, costs = dict(choices), limits.cost_of(choices)
    refused: set[tuple[str, int, int]] = set()
    while steps:
        name, group, place = step = max(steps, key=gain)
        steps.remove(step)
        now = places[name][group]
        if place <= now:  # left behind by a longer step
            continue
        places[name][group] = place
        raised = {**found, name: decisions[name].choice([[each] for each in places[name]])}
        new = limits.cost_of(raised)
        if any(new[cost] > most for cost, most in limits.maxima.items()):
            places[name][group] = now
            refused.add(step)
            continue
        if any(new[cost] < costs[cost] for cost in limits.maxima):
            steps |= refused
            refused = set()
        found, costs = raised, new
    return found


def _logs(arch: Arch, name: str) -> list[list[float]]:
    weights = arch[name]
    assert isinstance(weights, Weights)
    rows: list[list[float]] = weights.values.double().log().clamp_min(UNLIKELY).tolist()
    return rows
