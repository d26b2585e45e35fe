"""Plasticity along a stream, retention and transfer, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import linregress

from plastic_env.errors import InvalidScores, InvalidSetting
from plastic_env.study import stats

ENDS = [2, 5, 6]
STREAM = np.array([[0.1, 0.3, 0.6, 0.5, 0.1, 0.9], [0.0, 1.0, 1.0, 0.0, 0.5, 0.2]])  # [seeds, updates]


def test_fifths_of_the_updates():
    first, last = stats.fifths(np.arange(10.0))
    assert (first, last) == (0.5, 8.5)
    first, last = stats.fifths(np.arange(14.0))  # rounded down
    assert (first, last) == (0.5, 12.5)
    first, last = stats.fifths(np.array([[1.0, 2, 3], [4, 5, 6]]))  # fewer than five: one update each
    assert first.tolist() == [1, 4]
    assert last.tolist() == [3, 6]


def test_loss_of_plasticity_by_hand():
    fall = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5, 0.5, 0.5, 0.5, 0.6]])
    assert stats.loss_of_plasticity(fall) == pytest.approx([0.4, -0.1])
    assert stats.slopes(fall) == pytest.approx([-0.1, 0.02])
    assert stats.mean_interval(stats.slopes(fall)) == pytest.approx((-0.04, -0.1, 0.02))
    assert not any(stats.slopes(np.full(tasks, 0.1)) for tasks in range(2, 20))  # 0, unrounded
    assert np.isnan(stats.mean_interval(stats.slopes(fall[:1])).low)


@settings(max_examples=40)
@given(arrays(np.float64, st.integers(2, 12), elements=st.floats(0, 1, width=16)))
def test_slopes_are_scipys(accuracy):
    assert stats.slopes(accuracy) == pytest.approx(linregress(np.arange(len(accuracy)), accuracy).slope, abs=1e-12)


def test_relative_plasticity_by_hand():
    found = stats.relative_plasticity([[0.4, 0.9, 0.0], [0.8, 0.3, 0.2]], [0.8, 0.6, 0.0])
    assert found.tolist() == [pytest.approx([0.5, 1.5, 1]), pytest.approx([1, 0.5, np.inf])]
    assert stats.relative_plasticity([[0.5]], [[0.25]]) == pytest.approx(2)


def test_online_accuracy_by_hand():
    np.testing.assert_allclose(stats.average_online_accuracy(STREAM, ENDS), [[0.2, 0.4, 0.9], [0.5, 0.5, 0.2]])
    assert stats.taoa(STREAM) == pytest.approx([2.5 / 6, 2.7 / 6])
    assert stats.taoa(STREAM, ENDS, [True, False, True]) == pytest.approx([1.3 / 3, 1.2 / 3])
    assert stats.taoa(STREAM[0]) == pytest.approx(2.5 / 6)


def test_early_accuracy_by_hand():
    assert stats.early_task_taa(STREAM, ENDS, 1) == pytest.approx([(0.1 + 0.6 + 0.9) / 3, (0 + 1 + 0.2) / 3])
    assert stats.early_task_taa(STREAM[:, :5], ENDS[:2], 2) == pytest.approx([(0.2 + 0.55) / 2, 0.5])


R = np.array([[0.9, 0.2, 0.1], [0.95, 0.8, 0.3], [0.6, 0.5, 0.9]])
UNTRAINED = np.array([0.1, 0.15, 0.2])
PAST = np.where(np.tri(3), R, np.nan)  # what is tested on past tasks only


@pytest.mark.parametrize("r", [R, PAST])
def test_retention_by_hand(r):
    assert stats.acc(r) == pytest.approx((0.6 + 0.5 + 0.9) / 3)
    assert stats.taa(r) == pytest.approx((0.9 + 1.75 / 2 + 2 / 3) / 3)
    assert stats.bwt(r) == pytest.approx((-0.3 - 0.3) / 2)
    assert stats.forgetting(r) == pytest.approx((0.35 + 0.3) / 2)  # the first task was best after the second


def test_forward_transfer_by_hand():
    assert stats.fwt(R, UNTRAINED) == pytest.approx((0.05 + 0.1) / 2)
    assert np.isnan(stats.fwt(PAST, UNTRAINED))  # not tested beforehand
    both = stats.fwt(np.stack([R, R]), np.stack([UNTRAINED, UNTRAINED - 0.1]))
    assert both == pytest.approx([0.075, 0.175])


def test_seeds_stay_apart():
    both = np.stack([R, np.full((3, 3), 0.5)])
    for measure in (stats.acc, stats.taa, stats.bwt, stats.forgetting):
        assert measure(both) == pytest.approx([measure(R), measure(np.full((3, 3), 0.5))])
    assert stats.bwt(both)[1] == stats.forgetting(both)[1] == 0


def test_what_gets_better_until_the_end_is_forgotten_less_than_not_at_all():
    r = [[0.5, 0.0], [0.7, 0.5]]
    assert stats.forgetting(r) == pytest.approx(-0.2)
    assert stats.bwt(r) == pytest.approx(0.2)


def test_what_was_not_tested_does_not_count_or_makes_no_measure():
    easy = np.insert(PAST, 1, np.nan, axis=1)  # a task without tests, the second of four
    easy = np.insert(easy, 1, [0.92, np.nan, np.nan, np.nan], axis=0)
    assert stats.acc(easy) == stats.acc(PAST)
    assert stats.bwt(easy) == stats.bwt(PAST)
    assert stats.forgetting(easy) == stats.forgetting(PAST)
    assert stats.taa(easy) == pytest.approx((0.9 + 0.92 + 1.75 / 2 + 2 / 3) / 4)
    own = np.where(np.eye(3), R, np.nan)  # each task at its own end only
    for measure in (stats.acc, stats.taa, stats.bwt, stats.forgetting):
        assert np.isnan(measure(own))
        assert np.isnan(measure(np.full((3, 3), np.nan)))
    late = np.where(np.arange(9).reshape(3, 3) == 0, np.nan, PAST)  # the first task's own end is left out
    assert np.isnan([stats.taa(late), stats.bwt(late), stats.forgetting(late)]).all()
    stopped = np.stack(
        [PAST, np.where(np.arange(3)[:, None] < 2, PAST, np.nan)]
    )  # the second seed never got to the end
    assert stats.acc(stopped) == pytest.approx([2 / 3, np.nan], nan_ok=True)


def test_one_task_at_several_checkpoints():
    cycles = np.array([[[0.3], [0.5], [0.7]]])
    assert stats.acc(cycles) == pytest.approx([0.7])
    assert stats.taa(cycles) == pytest.approx([0.5])


@settings(max_examples=40)
@given(arrays(np.float64, (2, 4, 4), elements=st.floats(0, 1, width=16)))
def test_forgetting_is_at_least_what_was_lost_since_the_tasks_own_end(r):
    assert (stats.forgetting(r) >= -stats.bwt(r) - 1e-12).all()


REFUSED = [
    (lambda: stats.fifths(0.5), r"accuracy has shape \[\]; give \[..., updates\]"),
    (lambda: stats.fifths([0.5, np.nan]), "NaN"),
    (lambda: stats.slopes([[0.5], [0.5]]), r"shape \[2, 1\]; a slope needs two tasks or more"),
    (lambda: stats.relative_plasticity([[1, 2], [3, 4]], [1, 2, 3]), r"has shape \[3\]; give \[2, 2\], .* \[2\]"),
    (lambda: stats.average_online_accuracy(STREAM, [2, 5]), r"ends=\[2.0, 5.0\]; give .* up to 6"),
    (lambda: stats.average_online_accuracy(STREAM, [0, 6]), "ends="),
    (lambda: stats.average_online_accuracy(STREAM, [3, 3, 6]), "ends="),
    (lambda: stats.average_online_accuracy(STREAM, [2.5, 6]), "ends="),
    (lambda: stats.taoa(STREAM, scored=[True]), "ends is None; give ends"),
    (lambda: stats.taoa(STREAM, ENDS, [True]), r"shape \[1\], 1 of it true; give .* each of the 3 tasks"),
    (lambda: stats.taoa(STREAM, ENDS, [False] * 3), "at least one of them true"),
    (lambda: stats.acc(R[:2]), r"R has shape \[2, 3\]; give .* from 1 on"),
    (lambda: stats.acc(R[0]), r"R has shape \[3\]"),
    (lambda: stats.bwt([[0.5]]), "from 2 on"),
    (lambda: stats.forgetting([[[0.5], [0.4]]]), "from 2 on"),
    (lambda: stats.taa([[np.inf]]), "infinite"),
    (lambda: stats.fwt(R, [0.1, 0.2]), r"untrained has shape \[2\]; give \[3\]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_other_arrays_are_refused(call, message):
    with pytest.raises(InvalidScores, match=message):
        call()


@pytest.mark.parametrize("length", [0, 2, 1.0])
def test_early_means_within_the_shortest_task(length):
    with pytest.raises(InvalidSetting, match=f"length={length}; give a number of updates from 1 to 1"):
        stats.early_task_taa(STREAM, ENDS, length)
