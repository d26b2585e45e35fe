"""Means, differences and profiles with their bootstrap intervals, on fixed arrays."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap

from plastic_env.errors import InvalidScores, InvalidSetting, PlasticEnvError
from plastic_env.study import stats

# [runs, tasks] of two methods. What rliable 1.2.0 says of them was computed with pandas below 3, which it needs:
# library.get_interval_estimates and create_performance_profile, method "percentile", after np.random.seed(0) (it
# ignores random_state), with 200,000 resamples of X, 20,000 of X and Y, 50,000 of the profile; another seed moves the
# ends by less than .01.
X = np.array(
    [
        [0.62, 0.71, 0.55],
        [0.66, 0.70, 0.61],
        [0.58, 0.74, 0.50],
        [0.71, 0.69, 0.58],
        [0.64, 0.80, 0.55],
        [0.60, 0.75, 0.57],
    ]
)
Y = np.array([[0.60, 0.70, 0.52], [0.63, 0.66, 0.57], [0.59, 0.72, 0.50], [0.62, 0.68, 0.60]])
TAUS = np.array([0.5, 0.575, 0.65, 0.72])

grid = st.integers(0, 20).map(lambda whole: whole / 20)  # as accuracies are: few values, many ties
scores = st.tuples(st.integers(2, 5), st.integers(1, 4)).flatmap(lambda shape: arrays(np.float64, shape, elements=grid))


def resamples_of(tasks):
    """Every way to draw the runs of each task anew: [ways, runs * tasks]."""
    drawn = [list(itertools.product(task, repeat=len(task))) for task in tasks]
    return np.array([np.concatenate(way) for way in itertools.product(*drawn)])


def test_means_agree_with_rliable():
    assert stats.mean_interval(X) == pytest.approx((0.64222222, 0.625, 0.66), abs=0.002)
    assert stats.iqm_interval(X) == pytest.approx((0.639, 0.618, 0.661), abs=0.002)


def test_probability_of_improvement_agrees_with_rliable():
    assert stats.probability_of_improvement(X, Y) == pytest.approx((0.6875, 0.48611111, 0.86805556), abs=0.01)


def test_profiles_agree_with_rliable():
    found = stats.performance_profile(X, TAUS)
    one = 1 / 18 + 1e-9  # the bands' ends are multiples of it
    np.testing.assert_allclose(found.mean, [0.94444444, 0.77777778, 0.44444444, 0.16666667], atol=1e-7)
    np.testing.assert_allclose(found.low, [0.83333333, 0.66666667, 0.33333333, 0.05555556], atol=one)
    np.testing.assert_allclose(found.high, [1, 0.88888889, 0.55555556, 0.27777778], atol=one)


def test_interval_of_runs_is_scipys():
    values = np.random.default_rng(1).normal(size=9)
    found = stats.mean_interval(values, 0.9)
    generator = np.random.default_rng(0)
    expected = bootstrap(
        (values,), np.mean, n_resamples=10_000, confidence_level=0.9, method="percentile", random_state=generator
    )
    assert found == (values.mean(), expected.confidence_interval.low, expected.confidence_interval.high)
    assert stats.mean_interval(values, 0.9) == found


def test_intervals_are_quantiles_over_all_resamples():
    tasks = np.array([[0.1, 0.4, 0.35, 0.8], [0.9, 0.7, 0.75, 0.2]])
    every = resamples_of(tasks)  # 4 ** 8
    for found, values in (
        (stats.mean_interval(tasks.T), every.mean(1)),
        (stats.iqm_interval(tasks.T), np.sort(every, 1)[:, 2:-2].mean(1)),
    ):
        assert found[1:] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.02)


def test_runs_are_drawn_within_each_task():
    crossed = np.array([[0.0, 1.0], [1.0, 0.0]])  # drawn as whole rows, every mean would be .5
    assert stats.mean_interval(crossed) == (0.5, 0, 1)  # each end has a chance of 1/16


def test_interquartile_mean_by_hand():
    assert stats.iqm_interval(np.array([0, 1, 2, 3, 4, 5, 6, 70.0])).mean == 3.5
    assert stats.iqm_interval(np.array([[9.0, 1], [2, 3], [0, 4]])).mean == 2.5  # of six scores one at each end


def test_one_run_has_no_interval_and_equal_runs_an_empty_one():
    for average in (stats.mean_interval, stats.iqm_interval):
        assert average([0.5]) == pytest.approx((0.5, np.nan, np.nan), nan_ok=True)
        assert average([[0.5, 0.7]]) == pytest.approx((0.6, np.nan, np.nan), nan_ok=True)
        same = average(np.full((7, 3), 0.1))
        assert same.low == same.mean == same.high
    assert stats.mean_interval(np.full(4, 0.25)) == (0.25, 0.25, 0.25)


@settings(max_examples=15)
@given(scores)
def test_averages_lie_within_the_scores(values):
    for average in (stats.mean_interval, stats.iqm_interval):
        found = average(values)
        low, *middle, high = values.min(), *sorted(found), values.max()
        assert low - 1e-12 <= min(middle)
        assert max(middle) <= high + 1e-12


def test_bands_hold_the_mean():
    curves = np.random.default_rng(0).normal(size=(8, 30))
    mean, low, high = stats.mean_bands(curves)
    np.testing.assert_allclose(mean, curves.mean(0))
    assert (low < mean).all()
    assert (mean < high).all()
    expected = stats.mean_interval(curves[:, 0])
    assert low[0] == pytest.approx(expected.low, abs=0.1)
    assert all(np.array_equal(part, curves[0]) for part in stats.mean_bands(curves[:1]))


def test_bands_draw_whole_curves():
    mean, low, high = stats.mean_bands(np.array([[0.0, 1.0], [1.0, 0.0]]) @ np.array([[1.0, 0.5], [0.0, 0.5]]))
    assert low[1] == mean[1] == high[1] == 0.5  # the average of both points of a curve, the same in each
    assert (low[0], high[0]) == (0, 1)


def test_paired_differences_by_hand():
    a, b = np.array([0.5, 0.6, 0.9]), np.array([0.4, 0.5, 0.8])
    assert stats.paired_difference(a, b) == pytest.approx((0.1, 0.1, 0.1))  # by how much seeds differ doesn't count
    assert stats.paired_difference([0, 0, 0], [1, 2, 6]) == (-3, -6, -1)  # each end has a chance of 1/27
    assert np.isnan(stats.paired_difference([0.4], [0.5]).low)


@settings(max_examples=15)
@given(scores)
def test_differences_turn_round(values):
    there, back = stats.paired_difference(values, values[::-1]), stats.paired_difference(values[::-1], values)
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high, abs=0.02)


def test_probability_of_improvement_by_hand():
    found = stats.probability_of_improvement([1, 2, 3], [2, 0])
    assert found.mean == pytest.approx((1 + 1.5 + 2) / 6)  # 1 beats 0; 2 ties with 2 and beats 0; 3 beats both
    both = stats.probability_of_improvement([[1, 5], [2, 5], [3, 5]], [[2, 5], [0, 5]])
    assert both.mean == pytest.approx((4.5 / 6 + 0.5) / 2)  # in the second task all tie
    assert np.isnan(stats.probability_of_improvement([1, 2], [0]).low)
    assert stats.probability_of_improvement([1, 2], [0, 0.5]) == (1, 1, 1)


def test_probability_of_improvement_draws_both_methods():
    x, y = [0.2, 0.5, 0.9], [0.1, 0.4, 0.6]
    gaps = resamples_of([x])[:, None, :, None] - resamples_of([y])[None, :, None, :]
    every = ((gaps > 0) + (gaps == 0) / 2).mean((2, 3)).ravel()
    assert stats.probability_of_improvement(x, y)[1:] == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.12)
    assert stats.probability_of_improvement(x, y).mean == 6 / 9


@settings(max_examples=15)
@given(scores, scores.map(lambda values: values[:, :1]))
def test_improvement_and_its_opposite_add_up_to_one(x, y):
    x = x[:, :1]
    assert stats.probability_of_improvement(x, y).mean + stats.probability_of_improvement(y, x).mean == pytest.approx(1)


def test_profiles_by_hand():
    found = stats.performance_profile([0.2, 0.4, 0.4, 0.8], [0, 0.4, 0.8])
    assert found.mean.tolist() == [1, 0.25, 0]  # above, not at
    assert (found.low[0], found.high[2]) == (1, 0)
    assert np.isnan(stats.performance_profile([[0.2, 0.4]], [0.3]).high).all()


REFUSED = [
    (lambda: stats.mean_interval([0.5, np.nan, np.inf]), r"scores \[3\] holds 2 values that are NaN .* first at \[1\]"),
    (lambda: stats.mean_interval(X[None]), r"scores has shape \[1, 6, 3\]; give \[runs\] or \[runs, tasks\]"),
    (lambda: stats.iqm_interval([]), r"scores has shape \[0\]; give \[runs\] or \[runs, tasks\], not empty"),
    (lambda: stats.mean_interval(["a"]), "scores is no array of numbers"),
    (lambda: stats.mean_interval([[1, 2], [3]]), "scores is no array of numbers"),
    (lambda: stats.mean_bands([1, 2]), r"curves has shape \[2\]; give \[runs, points\]"),
    (lambda: stats.paired_difference([1, 2], [1, 2, 3]), r"The shapes differ: a \[2\], b \[3\]; give equal ones"),
    (lambda: stats.probability_of_improvement(X, Y[:, :2]), r"x without its runs \[3\], y without its runs \[2\]"),
    (lambda: stats.performance_profile(X, 0.5), r"taus has shape \[\]; give \[points\]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_has_no_statistics_is_refused(call, message):
    with pytest.raises(InvalidScores, match=message):
        call()


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan])
def test_confidence_is_between_0_and_1(confidence):
    for call in (stats.mean_interval, stats.iqm_interval, lambda *args: stats.mean_bands(X[:1], *args[1:])):
        with pytest.raises(InvalidSetting, match="give a number between 0 and 1"):
            call([0.5], confidence)
    assert issubclass(InvalidScores, PlasticEnvError)
