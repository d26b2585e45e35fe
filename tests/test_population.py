"""A population's learners never influence each other."""

import helpers
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from plastic_env import SGD, Adam, Edit, LearnerSettings, Population
from plastic_env.errors import InvalidEdit, InvalidSetting, UnknownName
from plastic_env.learner.insertion import Fresh
from plastic_env.learner.probing import diagnose


def test_members_equal_populations_of_one():
    together = helpers.population(4, optimizer=Adam(0.003))
    x, y = helpers.batches(100, 4)
    together.train(x, y)
    for member in range(4):
        alone = Population(1, helpers.INPUTS, helpers.CLASSES, together.settings, dtype=torch.float64)
        alone.begin({0: np.random.default_rng([0, member])})
        alone.train(x[:, [member]], y[:, [member]])
        for mine, other in zip(
            helpers.live_parameters(together, member), helpers.live_parameters(alone, 0), strict=True
        ):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-9)


def test_members_may_be_named_in_any_order():
    straight, turned = helpers.population(3), helpers.population(3)
    x, y = helpers.batches(10, 3)
    order = [2, 0, 1]
    one, other = straight.train(x, y), turned.train(x[:, order], y[:, order], order)
    np.testing.assert_array_equal(one.loss[:, order], other.loss)
    assert torch.equal(straight.state.weights, turned.state.weights)
    x, y = helpers.batches(1, 3, 16)
    loss = straight.probe(x[0], y[0]).loss
    assert torch.equal(loss[order], turned.probe(x[0][order], y[0][order], order).loss)


def test_a_frozen_learner_scores_nothing_even_if_its_weights_are_sound():
    population = helpers.population(2)
    population.state.frozen[0] = True
    scores = population.train(*helpers.batches(20, 2))
    assert scores.accuracy[:, 0].max() == 0 < scores.accuracy[:, 1].max()


def test_a_frozen_learner_and_an_old_probe_are_refused():
    population = helpers.population(2)
    old = helpers.probe(population)
    population.train(*helpers.batches(1, 2))
    with pytest.raises(InvalidEdit, match="probe again"):
        population.edit({0: Edit(prune=(1, 0))}, old)
    population.state.frozen[1] = True
    with pytest.raises(InvalidEdit, match="has diverged"):
        population.edit({1: Edit(reset=True)})


def test_training_some_members_leaves_the_others_alone():
    population = helpers.population(4, optimizer=Adam(0.003))
    before = [helpers.live_parameters(population, member) for member in range(4)]
    x, y = helpers.batches(10, 2)
    population.train(x, y, [3, 1])
    for member, changed in enumerate([False, True, False, True]):
        same = all(
            torch.equal(a, b) for a, b in zip(helpers.live_parameters(population, member), before[member], strict=True)
        )
        assert same != changed
    np.testing.assert_array_equal(population.state.updates, [0, 10, 0, 10])


@pytest.mark.parametrize("optimizer", [SGD(0.05), Adam(0.003)])
def test_a_diverging_learner_is_frozen_and_the_others_do_not_notice(optimizer):
    healthy, sick = (helpers.population(4, optimizer=optimizer) for _ in range(2))
    sick.state.weights[2] *= 1e200
    scores = []
    for population in (healthy, sick):
        first = population.train(*helpers.batches(40, 4, seed=1))
        population.edit({m: Edit(recycle=(2, 2), insertion="fresh") for m in (0, 1, 3)}, helpers.probe(population))
        scores.append([first, population.train(*helpers.batches(40, 4, seed=2))])
    np.testing.assert_array_equal(sick.state.frozen, [False, False, True, False])
    assert not healthy.state.frozen.any()
    others = [0, 1, 3]
    assert torch.equal(healthy.state.weights[others], sick.state.weights[others])
    for mine, theirs in zip(healthy.state.moments, sick.state.moments, strict=True):
        assert torch.equal(mine[others], theirs[others])
    for mine, theirs in zip(*scores, strict=True):
        np.testing.assert_array_equal(mine.accuracy[:, others], theirs.accuracy[:, others])
        np.testing.assert_array_equal(mine.loss[:, others], theirs.loss[:, others])


def test_a_frozen_learner_is_never_changed_again():
    population = helpers.population(3)
    population.state.weights[1] *= 1e200
    population.train(*helpers.batches(5, 3))
    assert population.state.frozen[1]
    before = population.state.weights[1].numpy().tobytes()
    scores = population.train(*helpers.batches(5, 3))
    assert population.state.weights[1].numpy().tobytes() == before
    assert scores.accuracy[:, 1].max() == 0
    assert population.state.updates.tolist() == [10, 5, 10]
    diagnosis = diagnose(helpers.probe(population))
    assert all(np.isfinite(values).all() for values in vars(diagnosis).values())


def test_beginning_again_gives_the_same_learner_and_spares_the_others():
    population = helpers.population(3, live=0.5, optimizer=Adam(0.01))
    born = helpers.live_parameters(population, 1)
    population.train(*helpers.batches(20, 3))
    population.edit({0: Edit(grow=(6, 5))}, helpers.probe(population))
    spared = helpers.live_parameters(population, 0)
    population.begin({1: np.random.default_rng([0, 1])})
    for mine, before in zip(helpers.live_parameters(population, 1), born, strict=True):
        torch.testing.assert_close(mine, before, rtol=0, atol=0)
    for mine, before in zip(helpers.live_parameters(population, 0), spared, strict=True):
        torch.testing.assert_close(mine, before, rtol=0, atol=0)
    assert population.state.updates.tolist() == [20, 0, 20]


def test_stored_width_follows_the_widest_learner():
    population = helpers.population(2, hidden=(64, 64), live=0.125)
    assert population.state.layout.widths == (helpers.INPUTS, 8, 8, helpers.CLASSES)
    population.edit({1: Edit(grow=(9, 0), grow_rule="random")}, helpers.probe(population))
    assert population.state.layout.widths[1:3] == (24, 8)
    population.edit({1: Edit(prune=(10, 0))}, helpers.probe(population))
    assert population.state.layout.widths[1:3] == (8, 8)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"hidden": ()}, InvalidSetting, "at least one layer must be editable"),
        ({"hidden": (8, 0)}, InvalidSetting, "positive whole"),
        ({"live": 0.0}, InvalidSetting, "above 0 and at most 1"),
        ({"activation": "rely"}, UnknownName, "Did you mean 'relu'"),
        ({"init": "torh"}, UnknownName, "Did you mean 'torch'"),
        ({"hidden": 64}, InvalidSetting, r"give a tuple .*'conv32_kernel5'"),
        ({"hidden": (True,)}, InvalidSetting, "positive whole"),
        ({"live": "0.5"}, InvalidSetting, "live='0.5'"),
        ({"optimizer": "adam"}, InvalidSetting, r"give plastic_env.Adam\(...\), .*plastic_env.UPGD\(...\)"),
        ({"maintenance": (Fresh(),)}, InvalidSetting, "give a tuple of rules"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        LearnerSettings(**wrong)


class Counter(TorchDispatchMode):
    """Counts operations that make the host wait for a device, or send it data."""

    WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_to_copy", "lift_fresh", "masked_select")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in self.WAITING
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [{}, {"norm": "layer"}, {"norm": "batch"}, {"activation": "crelu"}])
@pytest.mark.parametrize("optimizer", [SGD(0.05, momentum=0.9), Adam(0.003)])
def test_no_update_waits_for_the_device(optimizer, settings):
    """What a stretch of updates asks of the host is independent of its length; ages and speeds may differ."""
    population = helpers.population(3, live=0.5, optimizer=optimizer, **settings)
    edits = {0: Edit(grow=(2, 1), trainability="two_speed"), 1: Edit(recycle=(1, 1), insertion="fresh")}
    population.train(*helpers.batches(5, 3))
    population.edit(edits, helpers.probe(population))
    counts = []
    for k in (2, 20):
        with Counter() as counter:
            population.train(*helpers.batches(k, 3))
        counts.append(counter.count)
    assert counts[0] == counts[1] > 0
