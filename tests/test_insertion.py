"""What each insertion rule gives newborns, and what it preserves."""

import helpers
import numpy as np
import pytest
import torch

from plastic_env import SGD, Adam, Edit
from plastic_env.errors import InvalidEdit, InvalidSetting
from plastic_env.learner.insertion import INSERTIONS, GradMax, Net2Wider

LINEAR_SLOPE = 0.45 + 0.55 / 2  # of smooth_leaky at 0: r + (1 - r) / 2


def trained(live=0.5, activation="smooth_leaky", **settings):
    population = helpers.population(2, live=live, activation=activation, optimizer=SGD(0.1), **settings)
    population.train(*helpers.batches(25, 2))
    return population


def logits(population):
    x, _ = helpers.batches(1, len(population), 16, seed=7)
    return population.predict(x[0])


@pytest.mark.parametrize("grow", [(4, 0), (0, 3), (5, 4), (1, 1)])
@pytest.mark.parametrize("name", ["zero_out", "net2wider", "gradmax"])
def test_function_is_preserved(name, grow):
    population = trained()
    before = logits(population)
    population.edit({0: Edit(grow=grow, grow_rule="random", insertion=name)}, helpers.probe(population))
    torch.testing.assert_close(logits(population), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["dormant", "fresh", "scaled"])
def test_function_moves(name):
    population = trained()
    before = logits(population)
    population.edit({0: Edit(grow=(4, 3), grow_rule="random", insertion=name)}, helpers.probe(population))
    assert (logits(population)[0] - before[0]).abs().max() > 1e-3


def test_net2wider_shares_outgoing_weights_equally_among_copies():
    population = trained()
    old = helpers.live_parameters(population, 0)
    population.edit({0: Edit(grow=(6, 0), grow_rule="random", insertion="net2wider")}, helpers.probe(population))
    weight, bias, above, *_ = helpers.live_parameters(population, 0)
    donors = [(old[0] == row).all(1).nonzero().item() for row in weight[6:]]  # whose copy is it?
    copies = np.bincount(donors, minlength=6) + 1
    torch.testing.assert_close(bias[6:], old[1][donors], rtol=0, atol=0)
    for unit in range(6):
        torch.testing.assert_close(above[:, unit], old[2][:, unit] / copies[unit])
    for at, donor in enumerate(donors):
        torch.testing.assert_close(above[:, 6 + at], old[2][:, donor] / copies[donor])


def test_net2wider_noise_is_relative_to_the_layers_weights():
    population = trained()
    old = helpers.live_parameters(population, 0)[0]
    edit = Edit(grow=(6, 0), grow_rule="random", insertion=Net2Wider(noise=1e-3))
    population.edit({0: edit}, helpers.probe(population))
    new = helpers.live_parameters(population, 0)[0][6:]
    distance = (new[:, None] - old[None]).abs().mean(-1).min(1).values
    assert (distance > 0).all()
    assert distance.mean().item() == pytest.approx(1e-3 * old.abs().mean().item() * (2 / np.pi) ** 0.5, rel=0.5)


def test_gradmax_takes_the_top_right_singular_vectors():
    population = trained()
    probe = helpers.probe(population)
    x, delta = probe.inputs[0][0], probe.deltas[1][0][:, :5]
    wanted = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1).T @ delta / len(x)  # [inputs + 1, units above]
    vectors = torch.linalg.svd(wanted).Vh[:3]
    norm = helpers.live_parameters(population, 0)[2].norm(dim=0).mean()
    population.edit({0: Edit(grow=(3, 0), grow_rule="random", insertion=GradMax(scale=0.5))}, probe)
    weight, bias, above, *_ = helpers.live_parameters(population, 0)
    assert weight[6:].abs().max() == bias[6:].abs().max() == 0
    torch.testing.assert_close(above[:, 6:].T.abs(), 0.5 * norm * vectors.abs(), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close((above[:, 6:].T * vectors).sum(1).abs(), (0.5 * norm).expand(3), rtol=1e-8, atol=1e-10)


def test_gradmax_gradient_norm_is_the_sum_of_the_largest_singular_values():
    """Evci et al.: with an activation of slope s at 0 and orthonormal outgoing weights, the squared norm of the
    newborns' incoming gradient is s^2 times the sum of the squared top singular values."""
    population = trained()
    probe = helpers.probe(population)
    x, delta = probe.inputs[0][0], probe.deltas[1][0][:, :5]
    singular = torch.linalg.svdvals(torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1).T @ delta)
    norm = helpers.live_parameters(population, 0)[2].norm(dim=0).mean()
    population.edit({0: Edit(grow=(3, 0), grow_rule="random", insertion=GradMax(scale=1 / norm.item()))}, probe)
    after = helpers.probe(population)
    gradient = after.deltas[0][0][:, 6:9].T @ torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    assert gradient.square().sum().item() == pytest.approx(LINEAR_SLOPE**2 * singular[:3].square().sum().item())


def test_scaled_draws_for_the_live_fan_in_and_keeps_the_variance_above():
    population = helpers.population(1, hidden=(400, 300), live=0.25, activation="smooth_leaky")
    probe = helpers.probe(population)
    old = helpers.live_parameters(population, 0)[2]
    population.edit({0: Edit(grow=(300, 0), grow_rule="random", insertion="scaled")}, probe)
    weight, _, above, *_ = helpers.live_parameters(population, 0)
    assert weight[100:].abs().max().item() == pytest.approx(1 / helpers.INPUTS**0.5, rel=0.01)
    assert above[:, 100:].abs().max().item() == pytest.approx(1 / 400**0.5, rel=0.01)
    torch.testing.assert_close(above[:, :100], old * 0.5)  # sqrt(100 / 400)


@pytest.mark.parametrize(
    ("settings", "edit", "message"),
    [
        ({"activation": "relu"}, Edit(grow=(1, 0), insertion="gradmax"), "stillborn"),
        ({}, Edit(grow=(6, 0), insertion="gradmax"), "5 directions"),
        ({}, Edit(recycle=(6, 0), insertion="net2wider"), "none is left"),
        ({}, Edit(grow=(1, 0), insertion="net2wider", rewind="initial"), "do one or the other"),
        ({}, Edit(grow=(1, 0), optimizer_state="transplant"), "plain SGD"),
        ({}, Edit(rewind="checkpoint"), "No checkpoint"),
        ({}, Edit(rewind="initial", reset=True), "one of them"),
    ],
)
def test_rules_that_make_no_sense_are_refused_with_the_reason(settings, edit, message):
    population = trained(**settings)
    before, probe = helpers.fingerprint(population), helpers.probe(population)
    with pytest.raises(InvalidEdit, match=message):
        population.edit({1: Edit(recycle=(1, 1), insertion="fresh"), 0: edit}, probe)
    assert helpers.fingerprint(population) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda: Net2Wider(noise=-1),
        lambda: Net2Wider(noise="0"),
        lambda: GradMax(scale=float("nan")),
        lambda: GradMax(scale=0.0),  # newborns would be stillborn
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(InvalidSetting, match="give a finite number"):
        make()


@pytest.mark.parametrize("name", INSERTIONS)
def test_every_rule_works_with_every_optimizer(name):
    for optimizer in (SGD(0.05), SGD(0.05, momentum=0.9), Adam(0.003)):
        population = helpers.population(1, live=0.5, activation="smooth_leaky", optimizer=optimizer)
        population.train(*helpers.batches(10, 1))
        edit = Edit(grow=(3, 2), recycle=(1, 1), insertion=name)
        population.edit({0: edit}, helpers.probe(population))
        scores = population.train(*helpers.batches(10, 1))
        assert np.isfinite(scores.loss).all()
        assert population.live(0) == (9, 7)
