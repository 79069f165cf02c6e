"""REINFORCE (Williams 1992) on independent categorical decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.benchmarks.errors import QueryError
from nas.benchmarks.methods.base import Decisions, Trial
from nas.decision import Choice


class Reinforce:
    """Samples from a softmax per decision and follows ``(R - b) grad log p``.

    The policy is that of NAS-Bench-201's REINFORCE (arXiv 2001.00326, section 5): one row of
    logits per decision, Adam, and a moving average of rewards as the baseline b. Scores in percent
    become rewards by ``scale``.

    Args:
        decisions: of the space; each keeps one candidate.
        generator: of the samples.
        rungs: not used; every trial has the score's own length.
        rate: learning rate of Adam (b1 0.9, b2 0.999); 0.05 suits some hundred samples.
        momentum: of the baseline.
        scale: factor from score to reward.

    Raises:
        QueryError: a decision keeps several candidates.
    """

    def __init__(
        self,
        decisions: Decisions,
        generator: np.random.Generator,
        rungs: Sequence[int] = (),
        rate: float = 0.05,
        momentum: float = 0.9,
        scale: float = 0.01,
    ) -> None:
        for decision in decisions.values():
            if decision.pick > 1 or decision.groups > 1:
                raise QueryError(
                    f"reinforce samples one candidate; decision {decision.name!r} keeps several; "
                    "choose another method, such as evolution"
                )
        self.decisions, self.generator = decisions, generator
        self.rate, self.momentum, self.scale = rate, momentum, scale
        self.sizes = np.array([len(decision) for decision in decisions.values()])
        shape = (len(self.sizes), int(self.sizes.max()))
        self.open = np.arange(shape[1]) < self.sizes[:, None]
        self.logits = np.where(self.open, 0.0, -np.inf)
        self.first, self.second = np.zeros(shape), np.zeros(shape)
        self.steps = 0
        self.baseline: float | None = None
        self.place_of: list[dict[Choice, int]] = [
            {name: place for place, name in enumerate(decision.candidates)}
            for decision in decisions.values()
        ]

    def propose(self) -> Trial:
        """A sample of the policy."""
        below = (
            np.cumsum(self.probabilities(), 1) <= self.generator.random(len(self.sizes))[:, None]
        )
        drawn = np.minimum(below.sum(1), self.sizes - 1)
        chosen = zip(self.decisions.items(), drawn.tolist(), strict=True)
        return Trial({name: decision.candidates[place] for (name, decision), place in chosen})

    def probabilities(self) -> NDArray[np.float64]:
        """(decisions, candidates) of the policy; 0 where a decision has fewer candidates."""
        weights = np.exp(self.logits - self.logits.max(1, keepdims=True))
        found: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
        return found

    def observe(self, trial: Trial, score: float) -> None:
        """One step of Adam along the gradient of the trial's log probability."""
        reward = self.scale * score
        before = reward if self.baseline is None else self.baseline
        self.baseline = self.momentum * before + (1 - self.momentum) * reward
        gradient = -self.probabilities()
        named = zip(self.decisions, self.place_of, strict=True)
        drawn = [place_of[trial.choices[name]] for name, place_of in named]
        gradient[np.arange(len(drawn)), drawn] += 1
        gradient *= reward - before
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        mean = self.first / (1 - 0.9**self.steps)
        spread = np.sqrt(self.second / (1 - 0.999**self.steps)) + 1e-8
        self.logits[self.open] += self.rate * (mean / spread)[self.open]
