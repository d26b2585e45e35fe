"""What runs cost: by hand, and of networks as they are."""

import numpy as np
import pytest
from helpers import PICTURE, live_parameters, population

from plastic_env import Conv
from plastic_env.errors import UnknownName
from plastic_env.learner.compute import parameters
from plastic_env.study import costs
from plastic_env.study.report import budgets
from plastic_env.study.results import Result


def spent(accuracy, macs, size=None):
    """Six updates in steps of two, of constant accuracy and cost each."""
    steps = len(accuracy)
    rows = {"start": [0, 2, 4][:steps], "stop": [2, 4, 6][:steps], "macs": macs, "accuracy": [[a, a] for a in accuracy]}
    return Result({"updates": 6}, rows if size is None else rows | {"parameters": size})


ONE = spent([0.2, 0.4, 0.6], [20, 40, 60], [5, 5, 8])
SHORT = spent([0.9, 0.0], [10, 30], [7, 7])  # it ended early


def test_costs_by_hand():
    found = costs.costs([ONE, SHORT], "macs")
    assert found.tolist() == [[10, 10, 20, 20, 30, 30], [5, 5, 15, 15, 15, 15]]  # as if it had gone on
    assert costs.costs([ONE], "parameters").tolist() == [[5, 5, 5, 5, 8, 8]]
    assert costs.mean_parameters([ONE, SHORT]) == pytest.approx((6 + 7) / 2)
    assert costs.costs([ONE, spent([0.1], [1])], "parameters") is None
    assert costs.mean_parameters([spent([0.1], [1])]) is None
    with pytest.raises(UnknownName, match="macs, parameters"):
        costs.costs([ONE], "money")


def test_accuracy_within_by_hand(monkeypatch):
    monkeypatch.setattr(costs, "POINTS", 4)
    found = costs.within([ONE], "macs")
    assert found.x.tolist() == [30, 60, 90, 120]
    # 30 pays for two and a half updates, 60 for four, 90 for five
    np.testing.assert_allclose(found.middle, [(0.4 + 0.2) / 2.5, 1.2 / 4, 1.8 / 5, 2.4 / 6])
    assert len(costs.within([spent([0.1], [1])], "parameters")) == 0


def test_equal_budgets_by_hand():
    cheap = spent([0.3, 0.3, 0.3], [10, 10, 10], [2, 2, 2])
    poor = spent([0.1, 0.1, 0.1], [200, 0, 0], [9, 9, 9])
    methods = {"one": [ONE], "cheap": [cheap], "poor": [poor]}
    assert budgets.by_updates(methods).budget == 6
    found = budgets.by_cost(methods, "macs")
    assert found.budget == 30
    assert {name: interval.mean for name, interval in found.accuracy.items()} == pytest.approx(
        {"one": 0.24, "cheap": 0.3, "poor": 0.1}
    )
    assert found.spent == {"one": 120, "cheap": 30, "poor": 200}
    assert list(found.front) == ["cheap", "one"]
    assert budgets.by_cost(methods, "parameters").budget == 12
    assert budgets.by_cost(methods | {"old": [spent([0.1], [1])]}, "parameters") is None


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("hidden", [(12, 10), (Conv(4), Conv(5), 6)])
def test_parameters_are_those_of_the_live_units(norm, hidden):
    inputs = PICTURE if isinstance(hidden[0], Conv) else 7
    made = population(n=1, hidden=hidden, live=0.5, inputs=inputs, norm=norm)
    widths = (made.network.input_units, *made.widths(0)[1:])
    assert parameters(made.network, widths) == sum(part.numel() for part in live_parameters(made, 0))
