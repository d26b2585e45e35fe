"""Learners that predict values: against plain torch, from single updates to whole lives."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import SGD, Edit, EpisodeSettings, LearnerSettings, Lifetime, Plan, Population
from plastic_env.env.reference import fresh_accuracy
from plastic_env.errors import InvalidData, InvalidEdit, InvalidSetting, UnknownName
from plastic_env.learner.export import to_module
from plastic_env.learner.objectives import OBJECTIVES, SquaredError
from plastic_env.scenarios import find

OUTPUTS = 3


def predictors(n=2, **settings):
    settings = LearnerSettings(hidden=(12, 10), optimizer=SGD(0.05), **settings)
    made = Population(n, helpers.INPUTS, OUTPUTS, settings, loss="squared_error", dtype=torch.float64)
    made.begin({member: np.random.default_rng(member) for member in range(n)})
    return made


def values(k, n, size=5, seed=0):
    rng = np.random.default_rng(seed)
    x, y = (torch.from_numpy(rng.normal(size=(k, n, size, width))) for width in (helpers.INPUTS, OUTPUTS))
    return x, y


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_and_losses_are_torchs(name):
    rule, outputs = OBJECTIVES[name], torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    if rule.classes:
        targets = torch.randint(4, (2, 5))
        theirs = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(2, 5)
    else:
        targets = torch.randn(2, 5, 4, dtype=torch.float64)
        theirs = F.mse_loss(outputs, targets, reduction="none").mean(-1)
    torch.testing.assert_close(rule.losses(outputs.detach(), targets), theirs.detach())
    theirs.mean(-1).sum().backward()
    torch.testing.assert_close(rule.delta(outputs.detach(), targets), outputs.grad)


def test_training_is_torchs():
    population, (x, y) = predictors(), values(20, 2)
    networks = [to_module(population, member) for member in range(2)]
    scores = population.train(x, y)
    for member, network in enumerate(networks):
        optimizer = torch.optim.SGD(network.parameters(), 0.05)
        for step in range(20):
            loss = F.mse_loss(network(x[step, member]), y[step, member])
            assert scores.loss[step, member] == pytest.approx(loss.item(), abs=1e-12)
            error = (network(x[step, member]) - y[step, member]).square().mean(-1).sqrt()
            assert scores.accuracy[step, member] == pytest.approx((error < 0.5).double().mean().item(), abs=1e-12)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        now = population.predict(x[0])[member]
        torch.testing.assert_close(now, network(x[0, member]).detach())


def test_probes_and_edits_work_on_values_too():
    population, (x, y) = predictors(live=0.5), values(6, 2)
    population.train(x, y)
    probe = population.probe(x[0], y[0])
    plain = to_module(population, 1)
    loss = F.mse_loss(plain(x[0, 1]), y[0, 1])
    loss.backward()
    assert probe.loss[1].item() == pytest.approx(loss.item())
    first = next(plain.parameters())
    torch.testing.assert_close(probe.gradients[0].weight[1, : len(first)], first.grad)
    population.edit({0: Edit(grow=(2, 1), grow_rule="gradient"), 1: Edit(recycle=(2, 2))}, probe)
    assert population.live(0) == (8, 6)
    assert np.isfinite(population.sample_plasticity(population.probe(x[1], y[1]))).all()


def test_a_life_of_predicting_explains_more_and_more():
    scenario = find("BitFlipping-small-v0", tasks=2, updates=400)
    life = Lifetime(scenario, EpisodeSettings(LearnerSettings(hidden=(32,))), n=2)
    life.begin({member: np.random.default_rng(member) for member in range(2)})
    outcome = life.step({member: Plan(budget=400) for member in range(2)})[1]
    assert outcome.accuracy[-50:].mean() > outcome.accuracy[:20].mean() + 0.15
    assert ((outcome.accuracy >= 0) & (outcome.accuracy <= 1)).all()
    stream = life.streams[1]
    fresh = fresh_accuracy(stream, 0, 400, LearnerSettings(hidden=(32,)), (32,), np.random.default_rng(5))
    assert fresh[-50:].mean() > fresh[:20].mean() + 0.15
    again = Lifetime(scenario, EpisodeSettings(LearnerSettings(hidden=(32,))), n=2)
    again.restore(life.capture())
    mine, theirs = (lives.step({0: Plan(budget=50)})[0].loss for lives in (life, again))
    assert (mine == theirs).all()


def test_values_that_do_not_fit_are_refused():
    population, (x, y) = predictors(), values(2, 2)
    with pytest.raises(InvalidData, match=r"values \[..., batch, 3\]"):
        population.train(x, y[..., :2])
    with pytest.raises(InvalidData, match=r"values \[..., batch, 3\]"):
        population.train(x, y[..., 0])
    y[1, 0, 2, 1] = float("nan")
    with pytest.raises(InvalidData, match="values of batch 1 of learner 0 are not all finite"):
        population.train(x, y)
    with pytest.raises(InvalidEdit, match="predict values, not classes"):
        population.widen_head({0: 5})
    with pytest.raises(UnknownName, match="Known: cross_entropy, squared_error"):
        Population(1, 3, 2, LearnerSettings(), loss="hinge")
    with pytest.raises(InvalidSetting, match="or 1 value"):
        Population(1, 3, 0, LearnerSettings(), loss="squared_error")
    assert repr(SquaredError()) == "SquaredError()"  # which identifies a network in snapshots
