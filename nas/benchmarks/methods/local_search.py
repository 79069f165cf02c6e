"""Local search (White et al., arXiv 2005.02960): to the best neighbor, again from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.benchmarks.methods.base import Decisions, Trial, draw
from nas.decision import Choice, neighbors


class LocalSearch:
    """Scores all neighbors of an architecture and moves to the best, until none is better.

    Neighbors differ in one candidate of one decision; they come in random order. At a local optimum
    it begins again from an architecture drawn uniformly.

    Args:
        decisions: of the space.
        generator: of starts and orders.
        rungs: not used; every trial has the score's own length.
    """

    def __init__(
        self, decisions: Decisions, generator: np.random.Generator, rungs: Sequence[int] = ()
    ) -> None:
        self.decisions, self.generator = decisions, generator
        self.here: tuple[dict[str, Choice], float] | None = None
        self.best: tuple[dict[str, Choice], float] | None = None
        self.waiting: list[dict[str, Choice]] = []

    def propose(self) -> Trial:
        """The next neighbor, or a new start."""
        if not self.waiting:
            self._move()
        return Trial(self.waiting.pop())

    def observe(self, trial: Trial, score: float) -> None:
        """Keep the best neighbor; the first of a start is where it stands."""
        seen = (dict(trial.choices), score)
        if self.here is None:
            self.here = seen
        elif self.best is None or score > self.best[1]:
            self.best = seen

    def _move(self) -> None:
        if self.here is not None and (self.best is None or self.best[1] > self.here[1]):
            self.here, self.best = self.best or self.here, None
            around = self._neighbors(self.here[0])
            self.waiting = [around[int(i)] for i in self.generator.permutation(len(around))]
        if not self.waiting:  # a local optimum, or nothing to move in
            self.here = self.best = None
            self.waiting = [draw(self.decisions, self.generator)]

    def _neighbors(self, choices: dict[str, Choice]) -> list[dict[str, Choice]]:
        return [
            {**choices, name: other}
            for name, decision in self.decisions.items()
            for other in neighbors(decision, choices[name])
        ]
