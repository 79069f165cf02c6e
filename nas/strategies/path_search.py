"""The best path of a trained supernet, found by a search method (SPOS, arXiv 1904.00420)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from nas.benchmarks.methods import METHODS, make
from nas.decision import Choice, Decision
from nas.errors import ConfigError, nearest
from nas.strategies.derivation import (
    VAIN,
    Candidates,
    Derived,
    check_scoring,
    unaffordable,
)

STUBBORN = 100  # proposals over the budget in a row, after which they are moved into it
WHOLE = tuple(name for name in METHODS if name != "successive_halving")
"""Methods that need one kind of score alone: a path of a supernet has no training lengths."""


class PathSearch:
    """Scores paths with the weights of the supernet as a search method proposes them.

    A proposal over the budget is rejected before it is scored, and one that was scored before is
    answered from memory; neither counts as a query. Where a hundred in a row are rejected, the next
    ones are moved to an architecture within the budget that is near. The method ``evolution`` is
    regularized evolution (arXiv 1802.01548), not the crossover and mutation of the paper.

    Args:
        method: evolution, random, local_search or reinforce.
        queries: how many different paths are scored.
        batches: held-out batches per score; None takes all.
        calibration: training batches from which a path's batch-norm statistics are computed anew
            (arXiv 1904.00420, section 3.4); 0 normalizes each batch by itself.

    Raises:
        ConfigError: for another method, and numbers out of range.
    """

    def __init__(
        self,
        method: str = "evolution",
        queries: int = 100,
        batches: int | None = None,
        calibration: int = 8,
    ) -> None:
        if method not in WHOLE:
            raise ConfigError(
                f"strategy.derivation.method must be one of {', '.join(WHOLE)}, "
                f"got {method!r}{nearest(str(method), WHOLE)}"
            )
        check_scoring(queries, batches, calibration)
        self.method, self.queries = method, queries
        self.batches, self.calibration = batches, calibration

    def check(self, decisions: Mapping[str, Decision]) -> None:
        """Raise ConfigError where the method cannot make these decisions."""
        make(self.method, decisions, 0)

    def __call__(self, candidates: Candidates) -> Derived:
        """The best path scored, the first of equal ones.

        Raises ConfigError if nothing that is proposed keeps to the budget.
        """
        score = candidates.scores(self.queries, self.batches, self.calibration)
        method = make(self.method, candidates.decisions, candidates.seed)
        known: dict[str, float] = {}
        best: tuple[float, dict[str, Choice]] | None = None
        refused, in_a_row, vain = 0, 0, 0
        while len(known) < self.queries and vain < VAIN:
            trial = method.propose()
            choices = candidates.complete(trial.choices)
            vain += 1
            if candidates.affordable(choices):
                in_a_row = 0
            else:
                refused, in_a_row = refused + 1, in_a_row + 1
                nearest = candidates.nearest(choices) if in_a_row > STUBBORN else None
                if nearest is None:
                    continue
                choices, vain = nearest, vain + STUBBORN
                trial = replace(trial, choices={**trial.choices, **nearest})
            name = json.dumps(choices, sort_keys=True)
            if name not in known:
                known[name], vain = score(choices), 0
                if best is None or known[name] > best[0]:
                    best = known[name], choices
            method.observe(trial, known[name])
        if best is None:
            raise ConfigError(unaffordable(candidates))
        return Derived(
            best[1],
            self._told(candidates, len(known), refused),
            {
                "method": self.method,
                "queries": len(known),
                "refused": refused,
                "score": best[0],
            },
        )

    def _told(self, candidates: Candidates, queries: int, refused: int) -> str:
        sentence = (
            f"{self.method}: best {candidates.metric} of {queries} paths on held-out data, "
            "supernet's weights"
        )
        if queries < self.queries:
            sentence += f" ({self.queries} wanted, no others proposed)"
        limits = candidates.limits()
        return f"{sentence}; {refused} proposals over {limits} refused" if limits else sentence
