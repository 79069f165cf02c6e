"""What a profile found: the calibrated table, and how well it predicts whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from torch import nn

from nas.arch import from_genotype
from nas.cost_tree import CostNode
from nas.costs.latency import latency_tree
from nas.costs.latency_table import Calibration, Row
from nas.costs.units import Key, Unit
from nas.decision import Choice, Decision
from nas.profile.measure import Times
from nas.profile.quality import Quality, calibrate, quality


@dataclass(frozen=True)
class Judged:
    """Whole networks: what they took, what the table says of them, and which fitted it.

    Attributes:
        architectures: their choices.
        measured: their times.
        sums: of their units, in ms.
        predicted: the calibrated sums, in ms.
        fitted: how many, the first ones, the calibration was fitted to; the others judge it.
        calibration: from sums to predictions.
    """

    architectures: Sequence[Mapping[str, Choice]]
    measured: Sequence[Row]
    sums: Sequence[float]
    predicted: Sequence[float]
    fitted: int
    calibration: Calibration

    @property
    def quality(self) -> Quality:
        """Of the predictions, on the networks that did not fit them."""
        return self._of(self.predicted)

    @property
    def quality_of_sums(self) -> Quality:
        """Of the sums without calibration, on the same networks."""
        return self._of(self.sums)

    def _of(self, guess: Sequence[float]) -> Quality:
        truth = [row.ms for row in self.measured[self.fitted :]]
        return quality(guess[self.fitted :], truth)


def judged(
    net: nn.Module,
    found: Sequence[Unit],
    decisions: Mapping[str, Decision],
    architectures: Sequence[Mapping[str, Choice]],
    times: Times,
) -> Judged | None:
    """The calibration fitted to the first half of the networks; None where none was timed.

    Args:
        net: the blueprint.
        found: its units.
        decisions: the blueprint's.
        architectures: choices of the networks.
        times: of units and networks.
    """
    if not times.networks:
        return None

    def predicted(tree: CostNode) -> list[float]:
        return [float(tree.expect(from_genotype(decisions, each))) for each in architectures]

    sums = predicted(latency_tree(net, found, times.rows, Calibration()))
    half = len(sums) // 2
    fitted = calibrate(sums[:half], [row.ms for row in times.networks[:half]])
    calibrated = [fitted.intercept + fitted.factor * value for value in sums]
    return Judged(architectures, times.networks, sums, calibrated, half, fitted)


def spread(rows: Mapping[Key, Row] | Sequence[Row]) -> float:
    """The median interquartile range, as a share of the median."""
    values = list(rows.values()) if isinstance(rows, Mapping) else list(rows)
    return median((row.high - row.low) / row.ms for row in values)
