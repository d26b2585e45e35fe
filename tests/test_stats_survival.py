"""Censored times: against textbook figures, and an estimate written as loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ecdf, norm

from plastic_env.errors import InvalidScores, InvalidSetting
from plastic_env.learner.cohorts import CohortHistory, CohortPoint
from plastic_env.study.stats import Survival, median_time, restricted_mean, survival

# Weeks of remission under 6-MP and under a placebo (Freireich et al. 1963; Klein & Moeschberger 2003, chapter 4)
TIME = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
SEEN = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23])
ALL = np.ones(21, dtype=bool)

entries = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=12).map(
    lambda pairs: (np.array([time for time, _ in pairs]), np.array([seen for _, seen in pairs]))
)


def by_loops(time, seen, confidence=0.95):
    """Product-limit estimate and log(-log) band at each distinct time, one at a time."""
    z, left, sum_, rows = norm.ppf((1 + confidence) / 2), 1.0, 0.0, []
    for at in sorted(set(time.tolist())):
        risk, events = (time >= at).sum(), (seen & (time == at)).sum()
        left *= 1 - events / risk
        sum_ += events / (risk * (risk - events)) if events < risk else 0
        if left < 1e-12:
            rows.append((at, 0, np.nan, np.nan))
        elif left == 1:
            rows.append((at, 1, 1, 1))
        else:
            width = z * np.sqrt(sum_) / abs(np.log(left))
            rows.append((at, left, left ** np.exp(width), left ** np.exp(-width)))
    return np.array(rows).T


def test_survival_of_the_textbook():
    curve = survival(TIME, SEEN)
    at = dict(zip(curve.time.tolist(), curve.probability.round(3).tolist(), strict=True))
    assert [at[week] for week in (6, 7, 10, 13, 16, 22, 23, 35)] == [
        0.857,
        0.807,
        0.753,
        0.690,
        0.627,
        0.538,
        0.448,
        0.448,
    ]


def test_median_of_the_textbook():
    assert median_time(TIME, SEEN) == (23, 13, np.inf)
    assert median_time(PLACEBO, ALL) == (8, 4, 11)


def test_restricted_mean_of_the_textbook():
    found = restricted_mean(TIME, SEEN, 35)
    assert found.mean == pytest.approx(23.29, abs=0.005)
    assert found.high - found.mean == pytest.approx(norm.ppf(0.975) * 2.83, abs=0.01)


def test_without_censoring_it_is_the_plain_distribution():
    curve = survival(PLACEBO, ALL)
    np.testing.assert_allclose(curve.probability, ecdf(PLACEBO).sf.probabilities, atol=1e-12)
    found = restricted_mean(PLACEBO, ALL, 30)
    half = norm.ppf(0.975) * PLACEBO.std() / np.sqrt(21)
    assert found == pytest.approx((PLACEBO.mean(), PLACEBO.mean() - half, PLACEBO.mean() + half))


@settings(max_examples=60)
@given(entries, st.floats(0.5, 0.99))
def test_survival_is_the_product_limit_and_falls(data, confidence):
    time, seen = data
    curve = survival(time, seen, confidence)
    np.testing.assert_allclose(curve, by_loops(time, seen, confidence), atol=1e-9)
    assert (np.diff(curve.probability, prepend=1) <= 0).all()
    known = curve.probability > 0
    assert (curve.low[known] <= curve.probability[known]).all()
    assert (curve.probability[known] <= curve.high[known]).all()


@settings(max_examples=60)
@given(entries)
def test_median_lies_in_its_interval_and_the_mean_within_the_horizon(data):
    time, seen = data
    found = median_time(time, seen)
    assert found.low <= found.median <= found.high
    if time.max():
        found = restricted_mean(time, seen, time.max() / 2)
        assert 0 <= found.mean <= time.max() / 2
        assert found.low <= found.mean <= found.high


def test_restricted_mean_counts_what_was_censored():
    time, seen = np.array([2, 4, 4]), np.array([True, False, False])
    assert restricted_mean(time, seen, 4).mean == pytest.approx(2 + 2 * 2 / 3)
    assert restricted_mean(time, seen, 3).mean == pytest.approx(2 + 2 / 3)
    assert restricted_mean(time, seen, 1) == (1, 1, 1)
    variance = (2 * 2 / 3) ** 2 * 1 / (3 * 2)
    assert restricted_mean(time, seen, 4).low == pytest.approx(10 / 3 - norm.ppf(0.975) * np.sqrt(variance))


def test_half_is_half_however_it_is_rounded():
    time = np.array([1, 1, 2, 3, 3, 4, 5, 6, 6, 7])  # .8, .7, and 5/7 of that at 3
    assert median_time(time, (time != 4) & (np.arange(10) != 7)).median == 3


def test_nobody_and_everybody():
    never = np.zeros(3, dtype=bool)
    assert median_time([3, 5, 8], never) == (np.inf, np.inf, np.inf)
    assert survival([3, 5, 8], never).low.tolist() == [1, 1, 1]
    assert restricted_mean([3, 5, 8], never, 8) == (8, 8, 8)
    assert median_time([7, 7, 7], ~never) == (7, 7, 7)
    assert restricted_mean([7, 7, 7], ~never, 9) == (7, 7, 7)
    assert median_time([3], ~never[:1]) == pytest.approx((3, np.nan, np.nan), nan_ok=True)
    assert restricted_mean([3], never[:1], 3) == pytest.approx((3, np.nan, np.nan), nan_ok=True)
    assert isinstance(survival([3], ~never[:1]), Survival)


def test_times_to_integrate_are_such_times():
    parities = {0: [-2, 0], 1: [-2, -2, -2], 2: [0]}  # integrated at age 10, not until 20, at once
    points = [CohortPoint(0, c, 10 * at, 1, 0.0, v) for c, each in parities.items() for at, v in enumerate(each)]
    times = CohortHistory(points).integration_times(smoothing=0)
    curve = survival(times.time, times.integrated)
    assert curve.time.tolist() == [0, 10, 20]
    np.testing.assert_allclose(curve.probability, [2 / 3, 1 / 3, 1 / 3])
    assert median_time(times.time, times.integrated).median == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: survival([1, np.nan], [True, True]), r"time \[2\] holds 1 values that are NaN"),
        (lambda: survival([1, 2], [True]), r"shape \[2\] .* shape \[1\] of bool; give times from 0 on"),
        (lambda: survival([1, 2], [1, 0]), "of int64; give .* one truth value for each"),
        (lambda: median_time([-1, 2], [True, True]), "starts at -1"),
        (lambda: restricted_mean([[1]], [[True]], 1), r"time has shape \[1, 1\]; give \[entries\]"),
    ],
)
def test_other_arrays_are_refused(call, message):
    with pytest.raises(InvalidScores, match=message):
        call()


@pytest.mark.parametrize("horizon", [0, -1, 36, np.inf, np.nan])
def test_horizons_beyond_what_was_observed_are_refused(horizon):
    with pytest.raises(InvalidSetting, match="give a positive time, at most 35"):
        restricted_mean(TIME, SEEN, horizon)
