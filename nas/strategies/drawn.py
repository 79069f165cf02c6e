"""No search: an architecture drawn uniformly (the baseline of arXiv 1902.07638)."""

from __future__ import annotations

from collections.abc import Mapping

from nas.benchmarks.methods import make
from nas.decision import Decision
from nas.errors import ConfigError
from nas.strategies.derivation import VAIN, Candidates, Derived, unaffordable


class Drawn:
    """The first of uniformly drawn architectures that keeps to the budget."""

    def check(self, decisions: Mapping[str, Decision]) -> None:
        """Every decision can be drawn."""

    def __call__(self, candidates: Candidates) -> Derived:
        """The genotype; raises ConfigError if none that is drawn keeps to the budget."""
        method = make("random", candidates.decisions, candidates.seed)
        for draws in range(1, VAIN + 1):
            choices = candidates.complete(method.propose().choices)
            if candidates.affordable(choices):
                sentence = "nothing was searched: the architecture was drawn uniformly"
                if limits := candidates.limits():
                    sentence += f" from those within {limits} ({draws} drawn)"
                return Derived(choices, sentence, {"method": "drawn", "draws": draws, "queries": 0})
        nearest = candidates.nearest(choices)
        if nearest is None:
            raise ConfigError(unaffordable(candidates))
        sentence = (
            f"nothing was searched: none of {VAIN} drawn architectures keeps to "
            f"{candidates.limits()}; the last was moved within it"
        )
        return Derived(nearest, sentence, {"method": "drawn", "draws": VAIN, "queries": 0})
