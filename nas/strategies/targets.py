"""Targets on a cost, and what a derivation that serves several of them leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.decision import Choice, Decision
from nas.errors import ConfigError, nearest
from nas.strategies.derivation import Candidates, Derived

ROUNDING = 1e-9  # of shares of the cost


@dataclass(frozen=True)
class Served:
    """The genotype of a target.

    Attributes:
        choices: of all decisions.
        score: of these.
        kept: share of the whole network's cost that they keep.
    """

    choices: dict[str, Choice]
    score: float
    kept: float


class Targets:
    """Shares of a cost of the whole network, the one of the run's genotype first.

    Args:
        shares: that may be kept.
        cost: any that is configured.

    Raises:
        ConfigError: for shares out of range, repeated ones, or none.
    """

    def __init__(self, shares: Sequence[float], cost: str) -> None:
        self.shares, self.cost = checked_shares(shares), cost

    def whole(self, candidates: Candidates) -> float:
        """What the whole network costs; raises ConfigError for an unknown cost."""
        costs = candidates.costs(candidates.complete(at_end(candidates.decisions)))
        return costs[known_cost(self.cost, costs)]

    def derived(
        self,
        candidates: Candidates,
        found: Mapping[float, Served],
        opening: str,
        effort: str,
        figures: Mapping[str, Any],
    ) -> Derived:
        """The genotypes by target, with a sentence and a record of score, share and file of each.

        Args:
            candidates: of the run.
            found: of every target.
            opening: of the sentence.
            effort: how the scores came about.
            figures: further ones of the record.
        """
        each = ", ".join(f"{t:g}: {one.score:.4g} at {one.kept:.3f}" for t, one in found.items())
        first = self.shares[0]
        sentence = (
            f"{opening} {candidates.metric} by target share of {self.cost} ({each}), {effort}, "
            f"supernet's weights; this is target {first:g}, all are in genotypes/target_*.json"
        )
        limits = candidates.limits()
        rows = [
            {
                "target": target,
                "score": one.score,
                "kept": one.kept,
                "genotype": f"genotypes/{_file(target)}.json",
            }
            for target, one in found.items()
        ]
        return Derived(
            found[first].choices,
            f"{sentence}; all keep to {limits}" if limits else sentence,
            {**figures, "cost": self.cost, "targets": rows},
            {_file(target): one.choices for target, one in found.items()},
        )


def at_end(decisions: Mapping[str, Decision], *, least: bool = False) -> dict[str, Choice]:
    """The last candidate of every decision, or the first: of ladders the most, or the least."""
    return {
        name: d.choice([[0 if least else len(d) - 1]] * d.groups) for name, d in decisions.items()
    }


def checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """The targets; raises ConfigError for shares out of range, repeated ones, or none."""
    found = tuple(float(share) for share in shares)
    names = {_file(share) for share in found}  # what tells their files apart
    if not found or len(names) < len(found) or not all(0 < share <= 1 for share in found):
        raise ConfigError(
            "strategy.derivation.targets are different shares of the cost above 0 and up to 1, "
            f"such as [0.3,0.5,0.7], got {list(found)}"
        )
    return found


def check_reachable(shares: Sequence[float], least: float) -> None:
    """Raise ConfigError for a target that the smallest network, which keeps ``least``, is above."""
    for share in shares:
        if least > share + ROUNDING:
            raise ConfigError(
                f"a target of {share:g} cannot be met: the smallest network of this space keeps "
                f"{least:.3g} of the cost; raise the target, or let candidates become smaller "
                "(compression.widths, compression.weight_bits, compression.residual=true)"
            )


def check_ladders(decisions: Mapping[str, Decision]) -> None:
    """Raise ConfigError for decisions that no gates can stand for, and where there are none."""
    other = next((n for n, d in decisions.items() if d.kind != "nested" or not d.soft), None)
    if other is not None or not decisions:
        found = f"{other} is none" if other else "this space has none"
        raise ConfigError(
            f"conditional gates decide on ladders of nested candidates (widths, bits), and {found};"
            " use them as in nas search space=superbit compression=prune strategy=conditional_gates"
        )


def known_cost(cost: str, known: Collection[str]) -> str:
    """The name of a cost; raises ConfigError for one that is not configured."""
    if cost not in known:
        raise ConfigError(
            f"strategy.derivation.cost={cost}: no cost has that name; costs are "
            f"{', '.join(known)}{nearest(cost, known)}"
        )
    return cost


def _file(target: float) -> str:
    return f"target_{target:g}"
