"""How far predicted times are from measured ones, and the calibration that brings them together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nas.benchmarks.correlation import kendall
from nas.costs.latency_table import Calibration

DECILE = 0.9


@dataclass(frozen=True)
class Quality:
    """Errors of predictions for n networks.

    Attributes:
        n: networks that judge.
        mean: of the relative errors ``|predicted / measured - 1|``.
        worst_decile: the relative error that a tenth of the networks exceeds.
        kendall: tau-b of the two orders; NaN where one of them is constant.
    """

    n: int
    mean: float
    worst_decile: float
    kendall: float

    def to_json(self) -> dict[str, Any]:
        """A JSON-able record."""
        return asdict(self)


def quality(predicted: ArrayLike, measured: ArrayLike) -> Quality:
    """Errors of predicted beside measured times (n,), both in one unit; measured above 0."""
    guess, truth = np.asarray(predicted, float), np.asarray(measured, float)
    errors = np.abs(guess / truth - 1)
    return Quality(
        len(truth), float(errors.mean()), float(np.quantile(errors, DECILE)), kendall(guess, truth)
    )


def calibrate(sums: ArrayLike, measured: ArrayLike) -> Calibration:
    """Intercept and factor, neither below 0, with the least squared relative error.

    Args:
        sums: of the units of n networks, in ms.
        measured: times of those networks, in ms.
    """
    from scipy.optimize import nnls

    x, y = np.asarray(sums, float), np.asarray(measured, float)
    # Divided by what was measured: errors count as shares, not in ms.
    solution, _ = nnls(np.stack([1 / y, x / y], axis=1), np.ones(len(y)))
    return Calibration(float(solution[0]), float(solution[1]), len(y))
