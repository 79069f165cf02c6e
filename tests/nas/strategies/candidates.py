"""Candidates without a run: made-up scores and costs, counting what is scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from nas.decision import Choice, Decision, Genotype

DECISIONS = {f"layer{i}": Decision(f"layer{i}", ("a", "b", "c", "d")) for i in range(5)}
BEST: Genotype = {"layer0": "c", "layer1": "a", "layer2": "d", "layer3": "b", "layer4": "c"}


def planted(choices: Genotype) -> float:
    """How much of the planted path is in it."""
    return sum(choices[name] == best for name, best in BEST.items()) / len(BEST)


class Mock:
    """Candidates with made-up scores and costs; counts what is scored."""

    metric = "accuracy"

    def __init__(
        self,
        decisions: dict[str, Decision] | None = None,
        seed: int = 0,
        affordable: Callable[[Genotype], bool] = lambda choices: True,
        known: dict[str, float] | None = None,
        stop: int | None = None,
        nearest: Callable[[Genotype], dict[str, Choice] | None] = lambda choices: None,
        drawn: Sequence[dict[str, Choice]] = (),
    ) -> None:
        self.decisions = decisions or DECISIONS
        self.seed, self._affordable, self._stop = seed, affordable, stop
        self._nearest, self._drawn = nearest, drawn
        self.known = {} if known is None else known
        self.scored: list[dict[str, Choice]] = []
        self.asked: tuple[int, int | None, int] | None = None

    def complete(self, choices: Genotype) -> dict[str, Choice]:
        return dict(choices)

    def affordable(self, choices: Genotype) -> bool:
        return self._affordable(choices)

    def nearest(self, choices: Genotype) -> dict[str, Choice] | None:
        return self._nearest(choices)

    def limits(self) -> str:
        return "budget.macs=5"

    def preferred(self) -> dict[str, Choice]:
        return dict(self._drawn[0])

    def preferred_at(self, cost: str, target: float) -> dict[str, Choice]:
        return self.preferred()

    def drawn(self) -> Iterator[dict[str, Choice]]:
        return map(dict, cycle(self._drawn[1:] or self._drawn))

    def scores(self, queries: int, batches: int | None, calibration: int) -> Any:
        self.asked = queries, batches, calibration

        def score(choices: Genotype) -> float:
            key = json.dumps(dict(choices), sort_keys=True)
            if key not in self.known:
                if len(self.scored) == self._stop:
                    raise KeyboardInterrupt
                self.scored.append(dict(choices))
                self.known[key] = planted(choices)
            return self.known[key]

        return score
