from __future__ import annotations

import math

import numpy as np
import pytest

from nas.benchmarks.bands import bootstrap, bootstrap_pairs
from nas.benchmarks.correlation import spearman


def test_the_band_is_about_the_normal_interval_and_repeats() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=(200, 3))
    low, high = bootstrap(values)
    half = 1.96 * values.std(0) / 200**0.5
    np.testing.assert_allclose(low, values.mean(0) - half, atol=0.05)
    np.testing.assert_allclose(high, values.mean(0) + half, atol=0.05)
    assert (bootstrap(values)[0] == low).all()


def test_one_seed_has_no_width_and_none_is_an_error() -> None:
    low, high = bootstrap(np.array([[1.0, 2.0]]))
    assert low.tolist() == high.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="at least one seed"):
        bootstrap(np.empty((0, 2)))


def test_the_interval_of_a_correlation_holds_it_and_is_reproducible() -> None:
    generator = np.random.default_rng(0)
    one = generator.normal(size=200)
    other = one + generator.normal(size=200)
    low, high = bootstrap_pairs(spearman, one, other)
    assert low < spearman(one, other) < high
    assert 0.05 < high - low < 0.3  # about 4 (1 - rho^2) / sqrt(n)
    assert bootstrap_pairs(spearman, one, other) == (low, high)
    assert all(map(math.isnan, bootstrap_pairs(spearman, np.ones(5), np.arange(5))))
