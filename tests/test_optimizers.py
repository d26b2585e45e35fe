"""Our optimizers against torch.optim, and against Adam written out per parameter."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import SGD, Adam, Edit
from plastic_env.errors import InvalidSetting


def falling(optimizer):
    """torch's own schedule, 64 updates to zero and then anew."""
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 64)
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


PAIRS = {
    "sgd": (SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (SGD(0.02, momentum=0.9), lambda p: torch.optim.SGD(p, 0.02, momentum=0.9)),
    "adam": (Adam(0.003), lambda p: torch.optim.Adam(p, 0.003)),
    "sgd_cosine": (SGD(0.05, cosine=64), lambda p: falling(torch.optim.SGD(p, 0.05))),
    "momentum_cosine": (SGD(0.02, 0.9, cosine=64), lambda p: falling(torch.optim.SGD(p, 0.02, momentum=0.9))),
    "adam_cosine": (Adam(0.003, cosine=64), lambda p: falling(torch.optim.Adam(p, 0.003))),
}


@pytest.mark.parametrize("activation", [name for name in helpers.PLAIN if "random" not in name])
@pytest.mark.parametrize("name", PAIRS)
def test_200_updates_equal_torch(name, activation):
    ours, theirs = PAIRS[name]
    population = helpers.population(optimizer=ours, activation=activation)
    networks = [helpers.plain_network(population, member) for member in range(3)]
    x, y = helpers.batches(200, 3)
    # in two unequal parts: what training leaves behind must be all that it needs
    scores = [population.train(x[:70], y[:70]), population.train(x[70:], y[70:])]
    for member, network in enumerate(networks):
        losses, hits = helpers.train_plain(network, theirs(network.parameters()), x[:, member], y[:, member])
        helpers.assert_equal_to(population, member, network)
        np.testing.assert_allclose(np.concatenate([s.loss[:, member] for s in scores]), losses, atol=1e-8)
        np.testing.assert_array_equal(np.concatenate([s.accuracy[:, member] for s in scores]), hits)


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_after_growing_and_pruning_equals_a_new_network_with_the_same_state(name):
    ours, theirs = PAIRS[name]
    population = edited_population(ours)
    networks = [helpers.plain_network(population, member) for member in range(3)]
    momenta = [
        helpers.live_parameters(population, m, population.state.moments[0]) if name == "momentum" else None
        for m in range(3)
    ]
    x, y = helpers.batches(100, 3, seed=5)
    population.train(x, y)
    for member, network in enumerate(networks):
        optimizer = theirs(network.parameters())
        if momenta[member] is not None:
            for parameter, buffer in zip(network.parameters(), momenta[member], strict=True):
                optimizer.state[parameter]["momentum_buffer"] = buffer
        helpers.train_plain(network, optimizer, x[:, member], y[:, member])
        helpers.assert_equal_to(population, member, network)


def test_adam_after_growing_and_pruning_equals_adam_with_an_age_per_parameter():
    """torch.optim.Adam knows one age per tensor, so this Adam is written out, on top of autograd."""
    population = edited_population(Adam(0.003))
    state = population.state
    networks = [helpers.plain_network(population, member) for member in range(3)]
    moments = [[helpers.live_parameters(population, m, flat) for flat in state.moments] for m in range(3)]
    ages = [helpers.parameter_ages(population, member) for member in range(3)]
    assert len({int(a) for age in ages[0] for a in age.flatten()}) > 1  # newborns and incumbents differ
    x, y = helpers.batches(100, 3, seed=5)
    population.train(x, y)
    for member, network in enumerate(networks):
        for step, (inputs, labels) in enumerate(zip(x[:, member], y[:, member], strict=True), start=1):
            gradients = torch.autograd.grad(F.cross_entropy(network(inputs), labels), list(network.parameters()))
            for parameter, g, m, v, age in zip(
                network.parameters(), gradients, *moments[member], ages[member], strict=True
            ):
                t = age + step
                m.copy_(0.9 * m + 0.1 * g)
                v.copy_(0.999 * v + 0.001 * g * g)
                with torch.no_grad():
                    parameter -= 0.003 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        helpers.assert_equal_to(population, member, network)


def test_first_adam_update_of_a_newborn_has_the_size_of_the_learning_rate():
    population = helpers.population(n=2, live=0.5, optimizer=Adam(0.001))
    population.train(*helpers.batches(500, 2))
    population.edit({0: Edit(grow=(3, 2), grow_rule="random")}, helpers.probe(population))
    before = helpers.live_parameters(population, 0)
    population.train(*helpers.batches(1, 2, seed=8))
    after = helpers.live_parameters(population, 0)
    steps = [(b - a).abs() for a, b in zip(before, after, strict=True)]
    newborn = torch.cat(
        [steps[0][6:].flatten(), steps[1][6:], steps[2][:, 6:].flatten(), steps[3][5:], steps[4][:, 5:].flatten()]
    )
    moved = newborn[newborn > 0]  # some newborns may be silent on this batch
    assert len(moved) > 20
    torch.testing.assert_close(moved, torch.full_like(moved, 0.001), rtol=1e-2, atol=0)
    # with the age of the incumbents' state it would have been (1 - b1) / sqrt(1 - b2) = 3.16 times that
    assert not np.isclose(moved.median(), 0.001 * 0.1 / 0.001**0.5, rtol=0.5)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: SGD(0), "lr=0; give a finite number above 0"),
        (lambda: SGD(0.1, momentum=1.0), "momentum=1"),
        (lambda: SGD(0.1, momentum="x"), "momentum='x'; give a number of at least 0 and below 1"),
        (lambda: SGD(0.1, cosine=-1), "cosine is -1"),
        (lambda: Adam(float("nan")), "lr=nan"),
        (lambda: Adam(True), "lr=True"),
        (lambda: Adam(0.1, beta1="x"), "beta1='x'"),
        (lambda: Adam(0.1, beta2=1.0), "beta2=1"),
        (lambda: Adam(0.1, eps=float("inf")), "eps=inf"),
        (lambda: Adam(0.1, eps=0), "eps=0"),
    ],
)
def test_impossible_settings_are_refused(make, what):
    with pytest.raises(InvalidSetting, match=what):
        make()


def edited_population(optimizer):
    """Three learners of different widths, trained, grown and pruned, trained again."""
    population = helpers.population(live=0.5, optimizer=optimizer)
    population.train(*helpers.batches(30, 3, seed=1))
    grow = {0: Edit(grow=(6, 5)), 1: Edit(grow=(2, 0), grow_rule="random"), 2: Edit()}
    population.edit(grow, helpers.probe(population))
    population.train(*helpers.batches(20, 3, seed=2))
    population.edit({0: Edit(prune=(2, 1)), 2: Edit(prune=(3, 3), recycle=(1, 1))}, helpers.probe(population))
    assert [population.live(m) for m in range(3)] == [(10, 9), (8, 5), (3, 2)]
    return population
