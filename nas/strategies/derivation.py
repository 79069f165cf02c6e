"""The contract of a derivation: how a genotype is found where it is not read off a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from nas.costs import WidthLayer
from nas.decision import Choice, Decision, Genotype
from nas.errors import ConfigError

Score = Callable[[Genotype], float]
VAIN = 10_000  # proposals in a row that give nothing new, after which no more are asked for


class Candidates(Protocol):
    """What a derivation may ask of a run.

    Attributes:
        decisions: of the space, by name.
        seed: of the run.
        metric: whose value a score is.
    """

    decisions: Mapping[str, Decision]
    seed: int
    metric: str

    def complete(self, choices: Genotype) -> dict[str, Choice]:
        """The genotype of choices for all decisions: without those that are inactive."""
        ...

    def affordable(self, choices: Genotype) -> bool:
        """Whether a genotype's network keeps to the budget."""
        ...

    def nearest(self, choices: Genotype) -> dict[str, Choice] | None:
        """A genotype within the budget, found from these choices; None if none is found."""
        ...

    def costs(self, choices: Genotype) -> Mapping[str, float]:
        """Every configured cost of a genotype's network, by name."""
        ...

    def width_layers(self) -> Mapping[str, WidthLayer]:
        """The layer that makes the channels of each width decision, by the decision's name."""
        ...

    def limits(self) -> str:
        """The budget as typed, ``budget.macs=50000``; "" where there is none."""
        ...

    def preferred(self) -> dict[str, Choice]:
        """The genotype that the policy itself would derive, within the budget if one is found."""
        ...

    def preferred_at(self, cost: str, target: float) -> dict[str, Choice]:
        """The genotype that a policy told the target would derive, within it and the budget.

        Args:
            cost: of which the target is a share.
            target: share of what the whole network costs.
        """
        ...

    def drawn(self) -> Iterator[dict[str, Choice]]:
        """Genotypes drawn from the policy, without end; the policy is left as it is."""
        ...

    def scores(self, queries: int, batches: int | None, calibration: int) -> Score:
        """A function from genotypes to scores on held-out data with the supernet's weights.

        Larger is better. What it scored in an earlier sitting of the run it does not score again.

        Args:
            queries: how many different genotypes are going to be scored at most.
            batches: held-out batches per score; None takes all.
            calibration: training batches that give a path its batch-norm statistics; 0 normalizes
                each batch by itself.
        """
        ...


@dataclass(frozen=True)
class Derived:
    """A genotype, a sentence on how it was found, and figures for the run's record.

    Attributes:
        choices: the genotype.
        sentence: how it was found.
        figures: for the record.
        named: genotypes that are kept beside it, by the name of their file.
    """

    choices: dict[str, Choice]
    sentence: str
    figures: Mapping[str, Any]
    named: Mapping[str, dict[str, Choice]] = field(default_factory=dict)


@runtime_checkable
class Derivation(Protocol):
    """Finds the genotype of a run after its search."""

    def check(self, decisions: Mapping[str, Decision]) -> None:
        """Raise ConfigError, before anything is trained, where these decisions do not suit it."""
        ...

    def __call__(self, candidates: Candidates) -> Derived:
        """The genotype; the same for the same seed, in however many sittings."""
        ...


@runtime_checkable
class ChecksRun(Protocol):
    """A derivation that costs alone can tell to be impossible."""

    def check_run(self, candidates: Candidates) -> None:
        """Raise ConfigError, before anything is trained, where the run's costs do not suit it."""
        ...


@runtime_checkable
class ScoresPaths(Protocol):
    """A derivation that scores paths of the supernet.

    Attributes:
        queries: how many different paths at most.
        batches: held-out batches per score; None takes all.
        calibration: training batches that give a path its batch-norm statistics.
    """

    queries: int
    batches: int | None
    calibration: int


def check_scoring(queries: object, batches: object, calibration: object) -> None:
    """Raise ConfigError for numbers of `ScoresPaths` that are out of range."""
    _check_whole("queries", queries, 1)
    _check_whole("batches", 1 if batches is None else batches, 1)
    _check_whole("calibration", calibration, 0)


def unaffordable(candidates: Candidates, proposed: int = VAIN) -> str:
    """The sentence on a budget that no proposal keeps to."""
    return (
        f"none of {proposed} proposed architectures keeps to {candidates.limits()}; "
        "raise the limit, or make the network smaller (space.network_channels)"
    )


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(
            f"strategy.derivation.{name} must be a whole number of at least {least}, got {value!r}"
        )
