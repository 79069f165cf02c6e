"""What a run offers to its derivation: the space, the budget, and scores that outlive a kill."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from nas.app import budgeted
from nas.app.session import Session
from nas.batch import Batch
from nas.budget import cheapest
from nas.build import Parts
from nas.costs import WidthLayer, width_layers
from nas.data import Batches
from nas.decision import Choice, Decision, Genotype
from nas.engine.path_score import PathScore
from nas.errors import ConfigError, NasError
from nas.space import decisions_of, discretize, only_active, settled_choices
from nas.store.metrics import MetricsFile
from nas.strategies.derivation import Score

QUERIES = "queries.jsonl"


class RunCandidates:
    """The candidates of a run (`nas.strategies.Candidates`).

    Args:
        session: the run.
        scored: where scores are kept; None keeps them in the run's own ``queries.jsonl``.

    Attributes:
        decisions: of the space, where there is something to decide.
        seed: of the run.
        metric: the task's primary one.
    """

    def __init__(self, session: Session, scored: Path | None = None) -> None:
        self._session, self._parts = session, session.parts
        self._scored = session.folder.path / QUERIES if scored is None else scored
        self._settled = settled_choices(session.parts.space)
        self.decisions: Mapping[str, Decision] = {
            name: decision
            for name, decision in decisions_of(session.parts.space).items()
            if name not in self._settled
        }
        self.seed, self.metric = int(session.cfg.seed), session.parts.task.primary

    def complete(self, choices: Genotype) -> dict[str, Choice]:
        """The choices, and those that are settled, without those of inactive decisions."""
        return only_active(self._parts.space, {**self._settled, **choices})

    def affordable(self, choices: Genotype) -> bool:
        """Whether every cost is within its limit."""
        limits = self._parts.limits
        return limits is None or limits.met(choices)

    def nearest(self, choices: Genotype) -> dict[str, Choice] | None:
        """The first genotype within the limits that coordinate descent comes to; None without."""
        limits = self._parts.limits
        if limits is None:
            return dict(choices)
        found, excess = cheapest(self._parts.space, limits, choices, enough=0.0)
        return found if excess <= 0 else None

    def costs(self, choices: Genotype) -> Mapping[str, float]:
        """Every configured cost, exact."""
        return self._parts.cost_of(choices)

    def width_layers(self) -> Mapping[str, WidthLayer]:
        """Of the blueprint, whose layers have the sizes of the networks that are retrained."""
        return width_layers(self._parts.blueprint, self._parts.data.spec.input_shape)

    def limits(self) -> str:
        """The budget as typed."""
        return "" if self._parts.limits is None else self._parts.limits.text

    def preferred(self) -> dict[str, Choice]:
        """What is derived from the policy's probabilities, under the budget.

        Raises ConfigError where the strategy has no policy.
        """
        self._check_policy()
        return budgeted.derived(self._parts).choices

    def preferred_at(self, cost: str, target: float) -> dict[str, Choice]:
        """What is derived from a policy told the target, within that share of a cost.

        Raises ConfigError where the policy has no condition, and where nothing within is found.
        """
        self._check_policy()
        found = budgeted.derived_at(self._parts, cost, target)
        if found.excess > 0:
            raise ConfigError(
                f"no architecture within a target of {target:g} of {cost} was found, the nearest "
                f"one misses a limit by {found.excess:.1%}; raise the target or the budget"
            )
        return found.choices

    def drawn(self) -> Iterator[dict[str, Choice]]:
        """Genotypes drawn from a copy of the policy, the same ones every time."""
        self._check_policy()
        policy = copy.deepcopy(self._parts.policy)
        while True:
            with torch.no_grad():
                arch = policy().arch
            yield discretize(self._parts.space, arch)

    def _check_policy(self) -> None:
        if not self._parts.searches:
            raise ConfigError(
                "this strategy trains no policy (strategy.update is null), so that there is none "
                "to draw from; choose another, such as strategy=enas"
            )

    def scores(self, queries: int, batches: int | None, calibration: int) -> Score:
        """Scores of paths by the primary metric; each is on disk before it is used.

        The score function raises NasError for a score that is no finite number.
        """
        file = MetricsFile(self._scored)
        known = {_key(row.get("choices", {})): row.get("score") for row in file.read()}
        bar = self._session.bars.task("derive", queries)
        measure: list[PathScore] = []  # made for the first score that is not known

        def score(choices: Genotype) -> float:
            key = _key(choices)
            if key not in known:
                if not measure:
                    measure.append(path_score(self._parts, batches, calibration))
                found = measure[0](choices)
                known[key] = self._signed(found[self.metric])
                file.append({"query": len(known), "score": known[key], "choices": dict(choices)})
            value = known[key]
            if value is None or not math.isfinite(value):
                raise NasError(
                    f"the {self.metric} of a path is {value}; the supernet has diverged: lower its "
                    "learning rate (optim.weights.lr) and search anew"
                )
            bar.advance()
            return float(value)

        return score

    def _signed(self, value: float) -> float:
        return value if self._parts.task.higher_is_better[self.metric] else -value


def path_score(parts: Parts, batches: int | None, calibration: int) -> PathScore:
    """A scorer on the held-out half, calibrated on the training half, both as the search has them.

    Batches have ``trainer.batch_size``; held-out ones are shuffled once and not augmented.
    """
    size = int(parts.cfg.trainer.batch_size)
    held_out = Batches(
        parts.samples,
        parts.data.indices("architecture"),
        batch_size=size,
        seed=int(parts.cfg.seed),
        name="derivation",
        drop_last=False,
        device=parts.device,
        channels_last=parts.channels_last,
    )
    count = len(held_out) if batches is None else min(batches, len(held_out))
    return PathScore(
        parts.supernet,
        parts.task,
        [held_out.batch(0, step) for step in range(count)],
        calibration_batches(parts, calibration),
    )


def calibration_batches(parts: Parts, count: int) -> Sequence[Batch]:
    """The first training batches of the search's stream."""
    stream = parts.streams()["weights"]
    return [stream.batch(step // len(stream), step % len(stream)) for step in range(count)]


def _key(choices: Genotype) -> str:
    return json.dumps(dict(choices), sort_keys=True)
