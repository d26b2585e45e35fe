"""Heads that widen when new classes come: what stays, what is new, and learners with different classes."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import Adam, Edit
from plastic_env.errors import InvalidData, InvalidEdit
from plastic_env.learner import snapshots
from plastic_env.learner.insertion import INSERTIONS


def trained(n=2, **settings):
    made = helpers.population(n, optimizer=Adam(0.003), **settings)
    made.train(*helpers.batches(50, n))
    return made


def test_widening_keeps_everything_and_draws_the_new_classes():
    made = trained()
    x, _ = helpers.batches(1, 2, 9, seed=7)
    before = [helpers.live_parameters(made, 1, flat) for flat in (made.state.weights, *made.state.moments)]
    logits = made.predict(x[0])
    made.widen_head({1: 6})
    for flat, old in zip((made.state.weights, *made.state.moments), before, strict=True):
        *hidden, weight, bias = helpers.live_parameters(made, 1, flat)
        for mine, theirs in zip([*hidden, weight[:4], bias[:4]], old, strict=True):
            assert torch.equal(mine, theirs)
        if flat is made.state.weights:
            assert 0 < weight[4:].abs().max() <= 10**-0.5
            assert len(weight[4:].unique()) == 20
        else:
            assert weight[4:].abs().max() == bias[4:].abs().max() == 0
    torch.testing.assert_close(made.predict(x[0])[..., :4], logits, rtol=0, atol=1e-12)
    assert (made.predict(x[0])[0, :, 4:] == -torch.inf).all()  # learner 0 has none of these
    assert torch.isfinite(made.predict(x[0])[1]).all()
    assert made.widths(0)[-1] == 4
    assert made.widths(1)[-1] == 6


def test_learners_with_more_and_with_fewer_classes_train_as_alone_and_as_adam_with_an_age_per_class():
    made, alone = trained(), trained()
    made.widen_head({1: 6})
    network = helpers.plain_network(made, 1)
    moments = [helpers.live_parameters(made, 1, flat) for flat in made.state.moments]
    x, y = helpers.batches(30, 2, seed=5)
    y[:, 1] = torch.arange(5 * 30).reshape(30, 5) % 6
    made.train(x, y)
    alone.train(x[:, :1], y[:, :1], [0])
    for mine, theirs in zip(helpers.live_parameters(made, 0), helpers.live_parameters(alone, 0), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    old = torch.tensor([50.0] * 4 + [0.0] * 2, dtype=torch.float64)
    ages = [old[0]] * 4 + [old[:, None], old]
    for step in range(1, 31):
        loss = F.cross_entropy(network(x[step - 1, 1]), y[step - 1, 1])
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        for parameter, g, m, v, age in zip(network.parameters(), gradients, *moments, ages, strict=True):
            m.lerp_(g, 0.1)
            v.lerp_(g.square(), 0.001)
            t = age + step
            with torch.no_grad():
                parameter -= 0.003 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    for mine, theirs in zip(helpers.live_parameters(made, 1), network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=0, atol=1e-9)


def test_new_classes_are_rewound_stored_and_edited_with_the_rest():
    made = trained(live=0.5)
    made.edit({1: Edit(store=True)})
    made.widen_head({1: 6})
    drawn = helpers.live_parameters(made, 1)[-2][4:]
    x, y = helpers.batches(20, 2, seed=5)
    made.train(x, y)
    edit = Edit(grow=(2, 1), prune=(1, 0), optimizer_state="transplant")
    made.edit({0: edit, 1: edit}, helpers.probe(made))
    made.train(x, y)
    for rewind in ("checkpoint", "initial"):
        made.edit({1: Edit(rewind=rewind)})
        head = helpers.live_parameters(made, 1)[-2]
        kept = made.state.units_of(1)[1].slot < 5  # of the units below, those that were there when the classes came
        torch.testing.assert_close(head[4:][:, kept], drawn[:, made.state.units_of(1)[1].slot[kept]], rtol=0, atol=0)
    copy = helpers.population(2, live=0.5, optimizer=Adam(0.003))
    snapshots.restore(copy, snapshots.capture(made))
    for population in (made, copy):
        population.train(x, y)
    assert helpers.fingerprint(copy) == helpers.fingerprint(made)


def test_a_new_learner_has_the_classes_of_the_task_again_whatever_others_have():
    made = trained()
    made.widen_head({0: 6, 1: 5})
    made.begin({0: np.random.default_rng([0, 0])})
    fresh = helpers.population(2, optimizer=Adam(0.003))
    assert made.widths(0)[-1] == 4
    for mine, theirs in zip(helpers.live_parameters(made, 0), helpers.live_parameters(fresh, 0), strict=True):
        assert torch.equal(mine, theirs)


def test_labels_of_unknown_classes_are_refused_learner_by_learner():
    made = trained()
    made.widen_head({1: 6})
    x, y = helpers.batches(3, 2)
    y[1] = 5
    with pytest.raises(InvalidData, match="batch 1 of learner 0 hold 5; its 4 classes allow 0 to 3"):
        made.train(x, y)
    y[1, 0] = 3
    made.train(x, y)


@pytest.mark.parametrize(
    ("classes", "message"), [({0: 3}, "has 4 classes; widen"), ({0: 4.5}, "at least that, not 4.5")]
)
def test_heads_do_not_shrink(classes, message):
    made = trained()
    before = helpers.fingerprint(made)
    with pytest.raises(InvalidEdit, match=message):
        made.widen_head(classes)
    assert helpers.fingerprint(made) == before


@pytest.mark.parametrize("insertion", INSERTIONS)
def test_edits_do_not_depend_on_how_many_classes_others_have_or_had(insertion):
    found = []
    for others in (4, 6):
        made = trained(live=0.5, activation="smooth_leaky")
        made.widen_head({1: others})
        for _ in range(2):
            made.edit({0: Edit(grow=(1, 1), recycle=(1, 1), insertion=insertion)}, helpers.probe(made))
            made.begin({1: np.random.default_rng(9)})
        found.append([*helpers.live_parameters(made, 0), torch.tensor(made.rngs[0].random())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
