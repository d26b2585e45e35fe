"""Equal budgets and Pareto fronts, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plastic_env.errors import InvalidScores
from plastic_env.study.stats import accuracy_within, common_budget, cost_per_update, pareto_front

ACCURACY, COST = np.array([0.0, 1.0, 1.0, 0.5]), np.array([1.0, 2.0, 1.0, 4.0])


def test_accuracy_within_a_budget_by_hand():
    # 2 pay for the first update and half of the second, 6 for three and half of the fourth
    found = accuracy_within(ACCURACY, COST, [0.5, 1, 2, 3, 6, 8, 9])
    assert found == pytest.approx([0, 0, 0.5 / 1.5, 1 / 2, 2.25 / 3.5, 2.5 / 4, np.nan], nan_ok=True)
    assert accuracy_within(ACCURACY, COST, 2) == pytest.approx(1 / 3)


def test_free_updates_are_paid_for_at_once():
    assert accuracy_within(ACCURACY, [1, 0, 0, 1], [1, 1.5]) == pytest.approx([2 / 3, 2.25 / 3.5])
    assert accuracy_within(ACCURACY, [0, 1, 0, 0], 0.5) == pytest.approx(0.5 / 1.5)
    assert np.isnan(accuracy_within(ACCURACY, np.zeros(4), 1))


def test_costs_of_any_shape():
    both = np.stack([ACCURACY, ACCURACY[::-1]])
    found = accuracy_within(both, np.stack([COST, COST[::-1]]), [2, 8])
    np.testing.assert_allclose(found, [[1 / 3, 5 / 8], [0.5, 5 / 8]])
    np.testing.assert_allclose(accuracy_within(both, COST, 2), [1 / 3, (0.5 + 0.5) / 1.5])
    np.testing.assert_allclose(accuracy_within(both, 100, [100, 250]), [[0, 1.5 / 2.5], [0.5, 2 / 2.5]])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=9), st.floats(0.01, 1))
def test_the_whole_budget_gives_the_mean_and_any_a_value_in_between(steps, share):
    accuracy, cost = np.array(steps).T
    assert accuracy_within(accuracy, cost, common_budget(cost)) == pytest.approx(accuracy.mean())
    assert accuracy.min() - 1e-9 <= accuracy_within(accuracy, cost, share * cost.sum()) <= accuracy.max() + 1e-9


def test_steps_share_out_their_cost():
    assert cost_per_update([6, 1], [3, 2]).tolist() == [2, 2, 2, 0.5, 0.5]


def test_the_common_budget_is_that_of_the_cheapest_run():
    assert common_budget(np.array([[1, 2], [3, 4]]), np.array([1.0, 4])) == 3


def test_front_by_hand():
    compute, score = [3, 1, 2, 4, 2], [0.9, 0.5, 0.4, 0.9, 0.7]
    assert pareto_front(compute, score).tolist() == [1, 4, 0]
    assert pareto_front([1, 1, 1], [0.5, 0.5, 0.4]).tolist() == [0, 1]  # equals are kept


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=10))
def test_none_beats_the_front_and_the_front_beats_all_others(points):
    compute, score = np.array(points).T
    front = pareto_front(compute, score).tolist()

    def beats(one, other):
        (c, s), (d, t) = points[one], points[other]
        return c <= d and s >= t and (c, s) != (d, t)

    assert front
    for other in range(len(points)):
        assert any(beats(one, other) for one in front) == (other not in front)
    assert (np.diff(compute[front]) >= 0).all()
    assert (np.diff(score[front]) >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy_within(ACCURACY, COST[:2], 1), r"cost has shape \[2\]; give \[4\].*or one number"),
        (lambda: accuracy_within(ACCURACY, -COST, 1), "cost goes down to -4; give costs from 0 on"),
        (lambda: accuracy_within(ACCURACY, COST, [1, 0]), "give positive ones"),
        (lambda: accuracy_within(ACCURACY, COST, [[1]]), r"budgets has shape \[1, 1\]; give one number or \[budgets\]"),
        (lambda: accuracy_within([0.5, np.nan], 1, 1), "NaN"),
        (lambda: cost_per_update([1, 2], [1]), "The shapes differ"),
        (lambda: cost_per_update([1, 2], [1, 0]), "give a whole number from 1 on"),
        (common_budget, "No costs"),
        (lambda: pareto_front([1, 2], [1]), r"compute \[2\], score \[1\]"),
        (lambda: pareto_front([1, np.nan], [1, 2]), "NaN"),
    ],
)
def test_other_arrays_are_refused(call, message):
    with pytest.raises(InvalidScores, match=message):
        call()
