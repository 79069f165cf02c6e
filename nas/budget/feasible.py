"""The genotype that is least beyond the limits: whether a budget can be met at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import torch

from nas.budget.limits import Limits
from nas.decision import Choice, Genotype, neighbors
from nas.space import SearchSpace, active, decisions_of, only_active

STARTS = 4


def cheapest(
    space: SearchSpace, limits: Limits, *starts: Genotype, enough: float = float("-inf")
) -> tuple[dict[str, Choice], float]:
    """The genotype with the smallest excess that coordinate descent finds, and its excess.

    Decision by decision the best candidate is taken, given the others, until none improves: exact
    where a limit's cost is a sum over decisions, a search where decisions interact or limits
    compete. It stops at the first genotype whose excess is ``enough`` or less.

    Args:
        space: of the genotypes.
        limits: what the excess is over.
        starts: genotypes to begin with; four drawn ones, always the same, follow.
        enough: an excess that need not be improved.
    """
    known: dict[str, float] = {}

    def excess(choices: Mapping[str, Choice]) -> float:
        kept = only_active(space, choices)
        key = json.dumps(kept, sort_keys=True)
        if key not in known:
            known[key] = limits.excess(kept)
        return known[key]

    generator = torch.Generator().manual_seed(0)
    drawn = [_drawn(space, generator) for _ in range(STARTS)]  # whatever the other starts are
    best: tuple[dict[str, Choice], float] | None = None
    for start in [*({**drawn[0], **start} for start in starts), *drawn]:
        choices, value = _descended(space, start, excess, enough)
        if best is None or value < best[1]:
            best = only_active(space, choices), value
        if best[1] <= enough:
            break
    assert best is not None
    return best


def _descended(
    space: SearchSpace,
    choices: dict[str, Choice],
    excess: Callable[[Mapping[str, Choice]], float],
    enough: float,
) -> tuple[dict[str, Choice], float]:
    value, improved = excess(choices), True
    decisions = decisions_of(space)
    while improved and value > enough:
        improved = False
        for name in sorted(active(space, choices)):
            others = [
                {**choices, name: other} for other in neighbors(decisions[name], choices[name])
            ]
            for other in others:
                found = excess(other)
                if found < value:
                    choices, value, improved = other, found, True
    return choices, value


def _drawn(space: SearchSpace, generator: torch.Generator) -> dict[str, Choice]:
    """A choice in every decision, those that the others make inactive included."""
    return {
        name: decision.choice(
            [
                torch.randperm(len(decision), generator=generator)[: decision.pick].tolist()
                for _ in range(decision.groups)
            ]
        )
        for name, decision in decisions_of(space).items()
    }
