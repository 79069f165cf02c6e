"""Successive halving over training lengths (Jamieson and Talwalkar, arXiv 1502.07943)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.benchmarks.errors import QueryError
from nas.benchmarks.methods.base import Decisions, Trial, draw


class SuccessiveHalving:
    """Trains many architectures briefly, the best share of them longer, and so on; then anew.

    A bracket begins with ``rate ^ (rungs - 1)`` architectures drawn uniformly; of each rung the
    best ``1 / rate`` reach the next, so that the last one trains a single architecture fully.

    Args:
        decisions: of the space.
        generator: of the draws.
        rungs: training lengths in epochs, in order; at least two.
        rate: eta, by which a rung is cut.

    Raises:
        QueryError: there are fewer than two training lengths.
    """

    def __init__(
        self,
        decisions: Decisions,
        generator: np.random.Generator,
        rungs: Sequence[int] = (),
        rate: int = 3,
    ) -> None:
        if len(rungs) < 2:
            raise QueryError(
                "successive_halving needs a table with scores after several training lengths; "
                f"this one has {', '.join(map(str, rungs)) or 'none'}"
            )
        self.decisions, self.generator = decisions, generator
        self.rungs, self.rate = tuple(rungs), rate
        self.rung = 0
        self.scored: list[tuple[Trial, float]] = []
        self.waiting = self._bracket()

    def propose(self) -> Trial:
        """The next of the rung at hand."""
        if not self.waiting:
            self._promote()
        return self.waiting.pop()

    def observe(self, trial: Trial, score: float) -> None:
        """Rank the trial within its rung."""
        self.scored.append((trial, score))

    def _promote(self) -> None:
        ranked = sorted(self.scored, key=lambda each: -each[1])
        kept = ranked[: len(ranked) // self.rate]
        self.rung, self.scored = self.rung + 1, []
        if self.rung == len(self.rungs) or not kept:
            self.rung, self.waiting = 0, self._bracket()
        else:
            self.waiting = [Trial(trial.choices, self.rungs[self.rung]) for trial, _ in kept]

    def _bracket(self) -> list[Trial]:
        count = self.rate ** (len(self.rungs) - 1)
        return [Trial(draw(self.decisions, self.generator), self.rungs[0]) for _ in range(count)]
