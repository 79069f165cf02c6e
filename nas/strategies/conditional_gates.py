"""Genotypes for several targets from one policy that is told the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas.decision import Choice, Decision
from nas.errors import ConfigError
from nas.strategies.derivation import Candidates, Derived, check_scoring, unaffordable
from nas.strategies.targets import (
    ROUNDING,
    Served,
    Targets,
    at_end,
    check_ladders,
    check_reachable,
)


class ConditionalGates:
    """Reads a genotype of every target off a policy that was trained for all of them (`Rotation`).

    Told a target, the policy's probabilities are discretized within that share of the cost and
    within the budget. Each network is scored on held-out data with the supernet's weights. What was
    derived for one target serves every target that it keeps to, so that neither score nor cost
    falls as targets rise. The genotype of the run is that of the first target.

    Args:
        targets: shares of the cost that may be kept, the one of the run's genotype first.
        cost: of which the targets are shares: any that is configured.
        batches: held-out batches per score; None takes all.
        calibration: training batches from which a network's batch-norm statistics are computed
            anew; 0 normalizes each batch by itself.

    Attributes:
        queries: networks scored at most: one for each target.

    Raises:
        ConfigError: for targets and numbers out of range.
    """

    def __init__(
        self,
        targets: Sequence[float] = (0.3, 0.5, 0.7),
        cost: str = "macs",
        batches: int | None = None,
        calibration: int = 8,
    ) -> None:
        self.targets = Targets(targets, cost)
        self.queries, self.batches, self.calibration = (
            len(self.targets.shares),
            batches,
            calibration,
        )
        check_scoring(self.queries, batches, calibration)

    def check(self, decisions: Mapping[str, Decision]) -> None:
        """Raise ConfigError for decisions that are not nested, and where there are none."""
        check_ladders(decisions)

    def check_run(self, candidates: Candidates) -> None:
        """Raise ConfigError for an unknown cost, and where the smallest network is too large."""
        whole = self.targets.whole(candidates)
        least = candidates.complete(at_end(candidates.decisions, least=True))
        smallest = candidates.costs(least)[self.targets.cost]
        check_reachable(self.targets.shares, smallest / whole)
        if not candidates.affordable(least):
            raise ConfigError(unaffordable(candidates, 1))

    def __call__(self, candidates: Candidates) -> Derived:
        """The genotype for the first target, and beside it those of every target."""
        self.check_run(candidates)
        cost, whole = self.targets.cost, self.targets.whole(candidates)
        measure = candidates.scores(self.queries, self.batches, self.calibration)

        def served(choices: dict[str, Choice]) -> Served:
            return Served(choices, measure(choices), candidates.costs(choices)[cost] / whole)

        tried = [served(candidates.preferred_at(cost, each)) for each in self.targets.shares]
        tried.sort(key=lambda one: one.kept)  # of equal scores the cheapest
        found = {target: best(tried, target) for target in self.targets.shares}
        return self.targets.derived(
            candidates,
            found,
            "conditional gates:",
            "held-out data",
            {"method": "conditional gates", "queries": self.queries},
        )


def best(tried: Sequence[Served], target: float) -> Served:
    """The best of those that keep to a target, the first of equals."""
    return max((one for one in tried if one.kept <= target + ROUNDING), key=lambda one: one.score)
