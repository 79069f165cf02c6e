"""Regularized evolution (Real et al., arXiv 1802.01548, algorithm 1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from nas.benchmarks.methods.base import Decisions, Trial, draw, mutate


class RegularizedEvolution:
    """Keeps the youngest ``population``; the best of a sample of them is mutated, the oldest dies.

    Args:
        decisions: of the space.
        generator: of all draws.
        rungs: not used; every trial has the score's own length.
        population: P; 10, as NAS-Bench-201 runs it (arXiv 2001.00326, section 5).
        sample: S, how many are drawn (without replacement) to choose a parent from; 3 there.
    """

    def __init__(
        self,
        decisions: Decisions,
        generator: np.random.Generator,
        rungs: Sequence[int] = (),
        population: int = 10,
        sample: int = 3,
    ) -> None:
        self.decisions, self.generator, self.sample = decisions, generator, sample
        self.alive: deque[tuple[Trial, float]] = deque(maxlen=population)

    def propose(self) -> Trial:
        """A random architecture until the population is full, then a child of a good one."""
        if len(self.alive) < (self.alive.maxlen or 1):
            return Trial(draw(self.decisions, self.generator))
        drawn = self.generator.choice(len(self.alive), self.sample, replace=False)
        parent = max((self.alive[int(place)] for place in drawn), key=lambda each: each[1])[0]
        return Trial(mutate(parent.choices, self.decisions, self.generator))

    def observe(self, trial: Trial, score: float) -> None:
        """The trial becomes the youngest; the oldest leaves."""
        self.alive.append((trial, score))
