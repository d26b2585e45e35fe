"""Cohorts through life, and the time they take to integrate."""

import helpers
import numpy as np
import pytest

from plastic_env import Edit
from plastic_env.errors import InvalidSetting
from plastic_env.learner.cohorts import CohortHistory, CohortPoint, cohort_points
from plastic_env.learner.probing import diagnose, measure_cohorts
from plastic_env.learner.state import Units
from plastic_env.study.results import read_run
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study


def history(*parities, cohort=1):
    """A cohort measured every 10 updates."""
    return [CohortPoint(0, cohort, 10 * at, 3, 0.0, np.log(parity)) for at, parity in enumerate(parities)]


def test_each_cohort_is_compared_with_the_units_older_than_it():
    cohort, born = np.array([0, 0, 1, 2, 2]), np.array([0, 0, 30, 80, 80])
    units = Units(np.arange(5), np.arange(5), cohort, born, born)
    active, gradient = np.array([0.2, 0.6, 0.4, 0.9, 0.3]), np.array([4.0, 2.0, 1.0, 0.0, 1.0])
    first, second = cohort_points(0, units, 100, active, gradient)
    assert (first.cohort, first.age, first.live) == (1, 70, 1)
    assert first.log_activation_parity == pytest.approx(np.log(0.4 / 0.4))
    assert first.log_gradient_parity == pytest.approx(np.log(1 / 3))
    assert (second.cohort, second.age, second.live) == (2, 20, 2)
    assert second.log_activation_parity == pytest.approx(np.log(0.6 / 0.4))
    assert second.log_gradient_parity == pytest.approx(np.log(0.5 / (7 / 3)))


def test_newest_cohort_agrees_with_the_diagnosis():
    population = helpers.population(2, live=0.5)
    for turn in range(3):
        population.edit({0: Edit(grow=(2, 1), grow_rule="random")}, helpers.probe(population))
        population.train(*helpers.batches(5, 2, seed=turn))
    probe = helpers.probe(population)
    found, points = diagnose(probe), measure_cohorts(probe)
    assert points[1] == []  # founders only
    assert [(p.layer, p.cohort, p.age) for p in points[0]] == [
        (at, c, 15 - 5 * (c - 1)) for at in (0, 1) for c in (1, 2, 3)
    ]
    for layer in (0, 1):
        newest = points[0][3 * layer + 2]
        assert newest.log_gradient_parity == pytest.approx(found.log_gradient_parity[0, layer])
        assert newest.log_activation_parity == pytest.approx(found.log_activation_parity[0, layer])


def test_time_to_integrate_is_the_first_passage_of_the_running_mean():
    raw = CohortHistory(history(0.1, 0.3, 0.6, 0.2, 0.9))
    times = raw.integration_times(smoothing=0)
    assert (times.time.tolist(), times.integrated.tolist()) == ([20], [True])
    # log2 parities -3, -2, -1, 0, 0 by halves: -3, -2.5, -1.75, -.875: reached at 30
    slow = CohortHistory(history(1 / 8, 1 / 4, 1 / 2, 1, 1)).integration_times()
    assert (slow.time.tolist(), slow.integrated.tolist()) == ([30], [True])
    assert raw.integration_times(threshold=0.05, smoothing=0).time.tolist() == [0]


def test_what_never_integrates_is_censored_when_last_seen():
    both = CohortHistory(history(0.1, 0.2, 0.1) + history(0.2, 0.9, cohort=2))
    times = both.integration_times(smoothing=0)
    assert times.cohort.tolist() == [1, 2]
    assert times.time.tolist() == [20, 10]
    assert times.integrated.tolist() == [False, True]
    assert CohortHistory().integration_times().time.shape == (0,)


@pytest.mark.parametrize("wrong", [{"threshold": 0}, {"smoothing": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InvalidSetting, match="positive ratio"):
        CohortHistory().integration_times(**wrong)


def test_results_keep_every_cohort(tmp_path):
    study = Study("PermutedDigits-small-v0", ("grow",), (0,), (("tasks", 6),))
    run_study(study, tmp_path, show_progress=False)
    result = read_run(tmp_path, study.groups()[0][0])
    points = result.cohorts().of(0, 1)
    # at each decision twice where an edit follows: before it, and right after it
    assert [p.age for p in points] == [0, 100, 100, 200, 200, 300, 400, 500]
    times = result.cohorts().integration_times()
    assert set(times.layer.tolist()) == {0, 1}
    assert (times.time <= 500).all()
