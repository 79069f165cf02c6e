"""Random search: the baseline that every other method has to beat (arXiv 1902.07638)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.benchmarks.methods.base import Decisions, Trial, draw


class RandomSearch:
    """Draws every architecture uniformly and independently.

    Args:
        decisions: of the space.
        generator: of the draws.
        rungs: not used; every trial has the score's own length.
    """

    def __init__(
        self, decisions: Decisions, generator: np.random.Generator, rungs: Sequence[int] = ()
    ) -> None:
        self.decisions, self.generator = decisions, generator

    def propose(self) -> Trial:
        """An architecture drawn uniformly."""
        return Trial(draw(self.decisions, self.generator))

    def observe(self, trial: Trial, score: float) -> None:
        """Nothing is learned."""
