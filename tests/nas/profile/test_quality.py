"""Errors by hand, and a calibration that must find what made the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from nas.profile.quality import calibrate, quality


def test_errors_by_hand() -> None:
    found = quality([1.1, 2.0, 2.7], [1.0, 2.0, 3.0])
    assert (found.n, found.kendall) == (3, 1.0)
    assert found.mean == pytest.approx((0.1 + 0 + 0.1) / 3)
    assert quality(np.arange(1, 12) * 1.0, np.ones(11)).worst_decile == pytest.approx(9.0)


def test_intercept_and_factor_are_recovered() -> None:
    sums = np.random.default_rng(0).uniform(1, 9, 20)
    found = calibrate(sums, 0.75 + 1.25 * sums)
    assert (found.intercept, found.factor) == pytest.approx((0.75, 1.25))
    assert found.networks == 20


def test_neither_is_below_0() -> None:
    sums = np.array([1.0, 2.0, 3.0])
    steep = calibrate(sums, 3 * sums - 2)
    assert steep.intercept == 0
    assert steep.factor > 1
    falling = calibrate(sums, 5 - sums)
    assert falling.factor == 0
    assert falling.intercept > 0
