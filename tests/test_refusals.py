"""Data that can't be trained on are refused before any update, with the batch's name; devices and types."""

import helpers
import numpy as np
import pytest
import torch

from plastic_env import Adam, Conv, Edit, LearnerSettings, Population
from plastic_env.errors import InvalidData, InvalidEdit, InvalidSetting
from plastic_env.learner.insertion import Net2Wider


def spoilt(where, value):
    x, y = helpers.batches(4, 2)
    (x if where[-1] == "x" else y)[where[:-1]] = value
    return x, y


def blank(*shape, inputs=7, labels=torch.int64):
    return torch.zeros(*shape, inputs), torch.zeros(*shape, dtype=labels)


BAD = {
    "NaN": (spoilt((2, 1, 3, 0, "x"), float("nan")), r"inputs of batch 2 of learner 1 are not all finite"),
    "infinite": (spoilt((0, 0, 0, 0, "x"), float("inf")), r"inputs of batch 0 of learner 0 are not all finite"),
    "label too large": (
        spoilt((3, 1, 2, "y"), 4),
        "batch 3 of learner 1 hold 4; its 4 classes allow 0 to 3",
    ),
    "negative label": (spoilt((1, 0, 0, "y"), -1), r"labels of batch 1 of learner 0 hold -1"),
    "empty batch": (blank(4, 2, 0), "at least one sample"),
    "no batches": (blank(0, 2, 5), "at least one sample"),
    "too few inputs": (blank(4, 2, 5, inputs=6), r"give inputs \[..., batch, 7\]"),
    "too few learners": (blank(4, 1, 5), r"for 2 learner\(s\)"),
    "arrays": ((np.zeros((4, 2, 5, 7)), np.zeros((4, 2, 5), dtype=int)), "are ndarray and ndarray; give torch tensors"),
    "infinite in the learners' precision": (spoilt((0, 0, 0, 0, "x"), 1e39), "inputs of batch 0 of learner 0"),
    "floating labels": (blank(4, 2, 5, labels=torch.float32), "labels are torch.float32; give whole numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_are_refused_before_any_update(name):
    (x, y), message = BAD[name]
    population = helpers.population(2)
    if "precision" in name:
        population = Population(2, helpers.INPUTS, helpers.CLASSES, LearnerSettings())
        population.begin({member: np.random.default_rng(member) for member in range(2)})
    before = helpers.fingerprint(population)
    with pytest.raises(InvalidData, match=message):
        population.train(x, y)
    assert helpers.fingerprint(population) == before


def test_learners_are_named_by_their_number_in_the_population():
    population = helpers.population(4)
    x, y = spoilt((2, 1, 3, 0, "x"), float("nan"))
    with pytest.raises(InvalidData, match="batch 2 of learner 0"):
        population.train(x, y, [3, 0])
    with pytest.raises(InvalidData, match="the probe batch of learner 0"):
        population.probe(x[2], y[2], [3, 0])


def test_inputs_whose_sum_overflows_are_no_error():
    population = Population(1, 2, 2, LearnerSettings(hidden=(4,)))
    population.begin({0: np.random.default_rng(0)})
    x = torch.full((1, 1, 4, 2), 1e38)
    assert not torch.isfinite(x.sum())
    population.train(x, torch.zeros(1, 1, 4, dtype=torch.int64))


def test_inputs_of_another_shape_are_not_predicted():
    population = helpers.population(2)
    for x in (torch.zeros(1, 5, 7), torch.zeros(2, 7), torch.zeros(2, 5, 6), np.zeros((2, 5, 7))):
        with pytest.raises(InvalidData, match=r"give a tensor \(2, samples, 7\)"):
            population.predict(x)


@pytest.mark.parametrize("members", [[2], [-1], [0.5], [0, 0]])
def test_learners_that_do_not_exist_or_twice_the_same_are_refused(members):
    population, (x, y) = helpers.population(2), helpers.batches(1, len(members))
    before = helpers.fingerprint(population)
    for use in (lambda: population.train(x, y, members), lambda: population.probe(x[0], y[0], members)):
        with pytest.raises(InvalidEdit, match=r"There is no learner|name each once"):
            use()
    if len(members) == 1:
        for use in (
            lambda: population.edit({members[0]: Edit()}),
            lambda: population.widen_head({members[0]: 5}),
            lambda: population.begin({members[0]: np.random.default_rng(0)}),
        ):
            with pytest.raises(InvalidEdit, match="There is no learner"):
                use()
    assert helpers.fingerprint(population) == before


@pytest.mark.parametrize("rng", [3, None, np.random.RandomState(0), np.random.Generator(np.random.MT19937(0))])
def test_learners_begin_with_a_generator(rng):
    population = helpers.population(2)
    before = helpers.fingerprint(population)
    with pytest.raises(InvalidSetting, match=r"give numpy.random.default_rng\(seed\)"):
        population.begin({0: np.random.default_rng(0), 1: rng})
    assert helpers.fingerprint(population) == before


def test_learners_that_have_never_begun_are_refused():
    population = Population(2, helpers.INPUTS, helpers.CLASSES, LearnerSettings())
    population.begin({0: np.random.default_rng(0)})
    with pytest.raises(InvalidEdit, match="Learner 1 has never begun"):
        population.train(*helpers.batches(1, 2))


def test_a_probe_of_others_is_refused():
    population = helpers.population(3)
    with pytest.raises(InvalidEdit, match=r"of the learners \[0\], not of 2"):
        population.edit({2: Edit(prune=(1, 0))}, helpers.probe(population, members=[0]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"grow": (1, 0)}, r"give plastic_env.Edit"),
        (Edit(grow=(1, 0), insertion=None), "insertion is None; give a rule"),
        (Edit(grow=(1, 0), insertion=Net2Wider), "give a rule, such as Net2Wider"),
        (Edit(grow=(1, 0), trainability=None), "trainability is None; give a rule"),
        (Edit(grow=(1, 0), optimizer_state="transplant", donors=(3, 4)), "give a tuple of ids"),
        (Edit(grow=(1, 0), donors=((3,), ())), "not 'fresh'; ask for it, or leave them out"),
        (Edit(prune=(1, 0), transfer_bias=True, rewind="initial"), "do one or the other"),
    ],
)
def test_edits_that_are_none_are_refused(edit, message):
    population = helpers.population(1, live=0.5)
    with pytest.raises(InvalidEdit, match=message):
        population.edit({0: edit}, helpers.probe(population))


@pytest.mark.parametrize(
    "sizes",
    [
        (0, 7, 4),
        (1, None, 4),
        (1, (7,), 4),
        (1, 7.0, 4),
        (1, 0, 4),
        (1, 7, 1),
        (1, (1, 8), 4),
        (1, (1, 8, 0), 4),
        (1.5, 7, 4),
    ],
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(InvalidSetting, match="outputs="):
        Population(*sizes, LearnerSettings())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["relu", "random_smooth_leaky"])
def test_everything_lives_where_it_is_told_to(dtype, activation):
    """With a default device that holds no data, any tensor made without naming its device breaks what it meets."""
    settings = LearnerSettings(
        hidden=(Conv(4), 8), live=0.5, activation=activation, norm="layer", optimizer=Adam(0.003)
    )
    x, y = (t.to(dtype) if t.is_floating_point() else t for t in helpers.batches(4, 2, inputs=36))
    with torch.device("meta"):
        population = Population(2, (1, 6, 6), helpers.CLASSES, settings, device="cpu", dtype=dtype)
        population.begin({member: np.random.default_rng(member) for member in range(2)})
        for optimizer_state in ("fresh", "transplant"):
            population.train(x, y)
            probe = population.probe(x[0], y[0])
            edit = Edit(grow=(1, 1), recycle=(1, 0), prune=(0, 1), transfer_bias=True, optimizer_state=optimizer_state)
            population.edit({0: edit, 1: Edit(store=True, reset=True)}, probe)
        population.widen_head({1: 6})
        population.train(x, y)
    assert {t.dtype for t in (population.state.weights, *population.state.moments)} == {dtype}
    assert torch.isfinite(population.state.weights).all()
