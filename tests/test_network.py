"""The stacked network against plain torch.nn."""

from itertools import pairwise

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import Edit, LearnerSettings, Population
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.network import backward, forward
from plastic_env.learner.objectives import CrossEntropy
from plastic_env.learner.parameters import Layout
from plastic_env.learner.stages import Mode


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_matches_autograd(name):
    z = torch.linspace(-6, 6, 201, dtype=torch.float64)[None].requires_grad_()
    reference = helpers.PLAIN[name]()(z)
    reference.sum().backward()
    h, saved = ACTIVATIONS[name].forward(z.detach())
    torch.testing.assert_close(h, reference.detach(), rtol=0, atol=1e-14)
    torch.testing.assert_close(ACTIVATIONS[name].backward(torch.ones_like(h), saved), z.grad, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_zero_maps_to_zero(name):
    assert ACTIVATIONS[name].forward(torch.zeros(3))[0].abs().max() == 0


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_and_gradients_match_autograd(name):
    population = helpers.population(activation=name)
    x, y = helpers.batches(1, len(population))
    logits, scratch = gradients(population, x[0], y[0])
    for member in range(len(population)):
        network = helpers.plain_network(population, member)
        theirs = network(x[0, member])
        torch.testing.assert_close(logits[member], theirs.detach(), rtol=0, atol=1e-12)
        F.cross_entropy(theirs, y[0, member]).backward()
        ours = helpers.live_parameters(population, member, scratch)
        for mine, parameter in zip(ours, network.parameters(), strict=True):
            torch.testing.assert_close(mine, parameter.grad, rtol=0, atol=1e-12)


def gradients(population, x, y):
    """Logits, and the gradients of all parameters as one flat row per learner."""
    network, modes = population.network, [Mode(population.activation)] * 2
    layers, scratch = population.layers(), torch.empty_like(population.state.weights)
    trace = forward(network, layers, x, modes)
    delta = CrossEntropy().delta(trace.logits, y)
    backward(network, layers, population.state.layout.views(scratch), trace, delta, modes)
    return trace.logits, scratch


def test_layout_covers_every_parameter_once():
    layout = Layout((3, 5, 2), blocks=(2, 4), rows=(3, 1))
    flat = torch.zeros(2, layout.size)
    for layer in layout.views(flat):
        layer.weight.add_(1)
        layer.vectors.add_(1)
    assert (flat == 1).all()
    assert layout.size == 3 * 2 * 5 + 3 * 5 + 5 * 4 * 2 + 2


@pytest.mark.parametrize(("init", "gain", "bias"), [("torch", 1.0, True), ("kaiming", 6.0**0.5, False)])
def test_initial_weights_fill_the_stated_range(init, gain, bias):
    settings = LearnerSettings(hidden=(200, 300), init=init)
    population = Population(1, 50, 10, settings)
    population.begin({0: np.random.default_rng(0)})
    for (fan_in, _), layer in zip(pairwise((50, 200, 300, 10)), population.layers(), strict=True):
        bound = gain / fan_in**0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert abs(layer.weight.mean()) < 0.05 * bound
        largest = layer.bias.abs().max()
        assert (0.5 / fan_in**0.5 < largest <= 1 / fan_in**0.5) if bias else largest == 0


def test_randomised_smooth_leaky_draws_r_in_training_and_takes_its_mean_otherwise():
    rule, draws = ACTIVATIONS["random_smooth_leaky"], []

    def uniform(z, row):
        draws.append(torch.rand(z.shape, dtype=z.dtype, generator=torch.Generator().manual_seed(len(draws))))
        return draws[-1].clone()

    z = torch.linspace(-6, 6, 201, dtype=torch.float64, requires_grad=True)
    training = rule.training(uniform)
    h, saved = training.forward(z.detach())
    r = 0.3 + 0.3 * draws[0]
    reference = r * z + (1 - r) * z * torch.sigmoid(0.8 * z)
    torch.testing.assert_close(h, reference.detach(), rtol=0, atol=1e-14)
    reference.sum().backward()
    torch.testing.assert_close(training.backward(torch.ones_like(h), saved), z.grad, rtol=0, atol=1e-14)
    assert not torch.equal(training.forward(z.detach())[0], h)  # drawn anew
    torch.testing.assert_close(rule.forward(z.detach())[0], ACTIVATIONS["smooth_leaky"].forward(z.detach())[0])


def test_random_activations_draw_from_each_learners_own_generator():
    """Training with other neighbours, other stored widths, or in other stretches makes no difference."""
    x, y = helpers.batches(20, 2)
    alone, beside = (helpers.population(2, live=0.5, activation="random_smooth_leaky") for _ in range(2))
    beside.edit({1: Edit(grow=(6, 5), grow_rule="random")}, helpers.probe(beside))
    alone.train(x[:, :1], y[:, :1], [0])
    for start, stop in ((0, 7), (7, 20)):
        beside.train(x[start:stop], y[start:stop])
    for mine, theirs in zip(helpers.live_parameters(alone, 0), helpers.live_parameters(beside, 0), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
