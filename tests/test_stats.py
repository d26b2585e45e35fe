"""Statistics on fixed arrays."""

import numpy as np
import pytest

from plastic_env.study.stats import fifths, mean_bands, mean_interval


def test_interval_is_the_percentile_bootstrap():
    values = np.random.default_rng(1).normal(size=9)
    found = mean_interval(values)
    rng = np.random.default_rng(5)
    means = values[rng.integers(9, size=(200_000, 9))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)
    assert mean_interval(values) == found


def test_one_seed_has_no_interval_and_equal_seeds_an_empty_one():
    assert np.isnan(mean_interval(np.array([0.5])).low)
    same = mean_interval(np.full(4, 0.25))
    assert (same.low, same.high) == (0.25, 0.25)


def test_fifths_of_the_updates():
    first, last = fifths(np.arange(10.0))
    assert (first, last) == (0.5, 8.5)
    first, last = fifths(np.array([[1.0, 2, 3], [4, 5, 6]]))  # fewer than five: one update each
    assert first.tolist() == [1, 4]
    assert last.tolist() == [3, 6]


def test_bands_hold_the_mean():
    curves = np.random.default_rng(0).normal(size=(8, 30))
    mean, low, high = mean_bands(curves)
    np.testing.assert_allclose(mean, curves.mean(0))
    assert (low < mean).all()
    assert (mean < high).all()
    expected = mean_interval(curves[:, 0])
    assert low[0] == pytest.approx(expected.low, abs=0.1)
    assert all(np.array_equal(part, curves[0]) for part in mean_bands(curves[:1]))
