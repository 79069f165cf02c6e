"""The best architecture that a policy draws (ENAS, arXiv 1802.03268, section 2.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain

from nas.decision import Choice, Decision
from nas.errors import ConfigError
from nas.strategies.derivation import Candidates, Derived, check_scoring, unaffordable

PATIENCE = 20  # draws over the budget in a row, after which they are moved into it


class PolicySearch:
    """Scores what the policy prefers and what it draws, with the weights of the supernet.

    The first architecture is the one that the policy itself would derive, under the budget if there
    is one; the others are samples of the policy. What is over the budget is rejected before it is
    scored; after twenty rejections in a row, draws are moved to an architecture within the budget
    that is near. Equal architectures are scored once.

    Args:
        queries: how many architectures within the budget are looked at, equal ones included.
        batches: held-out batches per score; None takes all.
        calibration: training batches from which a path's batch-norm statistics are computed anew
            (arXiv 1904.00420, section 3.4); 0 normalizes each batch by itself.

    Raises:
        ConfigError: for numbers out of range.
    """

    def __init__(self, queries: int = 10, batches: int | None = None, calibration: int = 8) -> None:
        check_scoring(queries, batches, calibration)
        self.queries, self.batches, self.calibration = queries, batches, calibration

    def check(self, decisions: Mapping[str, Decision]) -> None:
        """A policy draws whatever it was made for."""

    def __call__(self, candidates: Candidates) -> Derived:
        """The best architecture scored, the first of equal ones.

        Raises ConfigError if nothing that is drawn keeps to the budget.
        """
        score = candidates.scores(self.queries, self.batches, self.calibration)
        known: dict[str, float] = {}
        best: tuple[float, dict[str, Choice]] | None = None
        taken, refused, in_a_row = 0, 0, 0
        for drawn in chain([candidates.preferred()], candidates.drawn()):
            choices: dict[str, Choice] | None = drawn
            if candidates.affordable(drawn):
                in_a_row = 0
            else:
                refused, in_a_row = refused + 1, in_a_row + 1
                if in_a_row <= PATIENCE:
                    continue
                choices = candidates.nearest(drawn)
            if choices is None:
                break
            name = json.dumps(choices, sort_keys=True)
            if name not in known:
                known[name] = score(choices)
                if best is None or known[name] > best[0]:
                    best = known[name], choices
            taken += 1
            if taken == self.queries:
                break
        if best is None:
            raise ConfigError(unaffordable(candidates, refused))
        return Derived(
            best[1],
            _told(candidates, len(known), taken, refused),
            {
                "method": "policy",
                "queries": len(known),
                "drawn": taken,
                "refused": refused,
                "score": best[0],
            },
        )


def _told(candidates: Candidates, queries: int, taken: int, refused: int) -> str:
    sentence = (
        f"policy: best {candidates.metric} of {queries} different architectures among {taken} "
        "drawn, on held-out data, supernet's weights"
    )
    limits = candidates.limits()
    return f"{sentence}; {refused} draws over {limits} refused" if limits else sentence
