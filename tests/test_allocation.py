"""Unit counts for a budget of weights, worked out by hand for the paper's two networks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plastic_env import Conv, LearnerSettings
from plastic_env.errors import InvalidSetting, UnknownName
from plastic_env.learner.allocation import BIASES, allocate, allocate_units
from plastic_env.learner.network import Network

MLP, CONVNET = (784, (256, 256)), (4096, (512, 512, 256))


# 784 u + u^2 against 266,240 c: 63 units would be 53,361 > 53,248; 92: 80,592 > 79,872;
# 119: 107,457 > 106,496; 144: 133,632 > 133,120
@pytest.mark.parametrize(("c", "units"), [(0.2, 62), (0.3, 91), (0.4, 118), (0.5, 143)])
def test_mlp_by_hand(c, units):
    assert allocate(*MLP, c) == (units, units)


# 4096 a + a b + b d against 2,490,368 c, with (a, b, d) = s (512, 512, 256) rounded:
# (117, 117, 58) has 499,707 > 498,073; (173, 173, 87) 753,588 > 747,110 and (172, 172, 86) 748,888 as well;
# (228, 228, 114) has 1,011,864 > 996,147 and (225, 225, 112) 997,425 as well; (277, 277, 138) 1,249,547 > 1,245,184
@pytest.mark.parametrize(
    ("c", "units"),
    [(0.2, (116, 116, 58)), (0.3, (171, 171, 86)), (0.4, (224, 224, 112)), (0.5, (276, 276, 138))],
)
def test_convnet_by_hand(c, units):
    a, b, d = units
    assert allocate(*CONVNET, c) == units
    assert 4096 * a + a * b + b * d <= c * 2_490_368


@pytest.mark.parametrize("name", BIASES)
def test_biases_shift_units_between_layers(name):
    """With bias (x, y, z), the shares of slots that are live stand in these proportions, to rounding."""
    counts = allocate(*CONVNET, 0.2, name)
    shares = [units / slots for units, slots in zip(counts, CONVNET[1], strict=True)]
    scale = [share / weight for share, weight in zip(shares, BIASES[name], strict=True)]
    assert max(scale) - min(scale) < 0.01


@given(
    inputs=st.integers(1, 100),
    slots=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    c=st.floats(0.05, 1),
)
def test_budget_is_kept_and_nearly_used(inputs, slots, c):
    def size(widths):
        return sum(a * b for a, b in zip([inputs, *widths], widths, strict=False))

    budget = c * size(slots) * (1 + 1e-12)  # but for rounding
    try:
        counts = allocate(inputs, slots, c)
    except InvalidSetting:
        assert size([1] * len(slots)) > budget
        return
    assert all(1 <= units <= n for units, n in zip(counts, slots, strict=True))
    assert size(counts) <= budget
    more = [min(units + 1, n) for units, n in zip(counts, slots, strict=True)]
    assert list(counts) == slots or size(more) > budget


def test_convolutions_by_hand():
    """Conv 16 and 32 with kernel 3 on 3 channels, pooled to 8 x 8, then dense 64: 9 * 3 a + 9 a b + 64 b d weights,
    136,112 with all units, half of it 68,056. (11, 22, 45) has 297 + 2,178 + 63,360 = 65,835, and the next,
    (11, 23, 45), 297 + 2,277 + 66,240 = 68,814."""
    network = Network.of(LearnerSettings(hidden=(Conv(16), Conv(32), 64)), (3, 32, 32), 10)
    assert network.blocks[:3] == (9, 9, 64)
    assert allocate(3, (16, 32, 64), 0.5, blocks=network.blocks[:3]) == (11, 22, 45)


def test_exact_budgets_are_used_up():
    assert [allocate(1, (100,), c / 100) for c in range(1, 101)] == [(c,) for c in range(1, 101)]


def test_everything_is_everything():
    assert allocate(*CONVNET, 1.0) == CONVNET[1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((784, (256, 256), 0.0), InvalidSetting, "fraction"),
        ((784, (256, 256), 1e-6), InvalidSetting, "larger"),
        ((784, (256, 256), 0.2, "fc1_protect"), InvalidSetting, "2 positive numbers"),
        ((784, (256, 256), 0.2, "fc1_protec"), UnknownName, "Did you mean 'fc1_protect'"),
        ((784, (), 0.2), InvalidSetting, "whole numbers"),
    ],
)
def test_impossible_budgets_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        allocate(*arguments)


TRUNK = ("fixed_conv32", "fixed_conv64")


@pytest.mark.parametrize(
    ("hidden", "inputs", "units"),
    [((256, 256), (1, 28, 28), (62, 62)), ((*TRUNK, 512, 512, 256), (3, 32, 32), (116, 116, 58))],
)
def test_the_editable_layers_of_a_learner_share_the_budget(hidden, inputs, units):
    assert allocate_units(LearnerSettings(hidden), inputs, 10, 0.2) == units


def test_editable_layers_apart_are_refused():
    with pytest.raises(InvalidSetting, match="in a row"):
        allocate_units(LearnerSettings((8, "fixed_dense8", 8)), 10, 2, 0.5)
