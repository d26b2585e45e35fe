"""Trainability rules: exactly which weights move how far."""

import copy
from dataclasses import dataclass, replace
from itertools import pairwise

import helpers
import numpy as np
import pytest
import torch

from plastic_env import SGD, Adam, Edit
from plastic_env.errors import InvalidSetting
from plastic_env.learner.trainability import TRAINABILITY, AgedRate, FreezeIncumbents, Phase, TwoSpeed, unit_factors

OPTIMIZERS = [SGD(0.05), SGD(0.05, momentum=0.9), Adam(0.003)]


def grown(optimizer, rule, newborns=(3, 2)):
    population = helpers.population(1, live=0.5, optimizer=optimizer)
    population.train(*helpers.batches(20, 1))
    population.edit({0: Edit(grow=newborns, grow_rule="random", trainability=rule)}, helpers.probe(population))
    return population


def changes(population, seed=3):
    """What one update changes, for weight, bias, weight, ..."""
    before = helpers.live_parameters(population, 0)
    population.train(*helpers.batches(1, 1, seed=seed))
    return [b - a for a, b in zip(before, helpers.live_parameters(population, 0), strict=True)]


def expected_factors(newborn, incumbent):
    """Per parameter of a 7-6-5-4 net with 3 and 2 newborns: newborn's where either unit is one."""
    born = [np.zeros(7), np.arange(9) >= 6, np.arange(7) >= 5, np.zeros(4)]
    factors = []
    for below, above in pairwise(born):
        either = (above[:, None] + below[None, :]) > 0
        factors += [np.where(either, newborn, incumbent), np.where(above > 0, newborn, incumbent)]
    return [torch.from_numpy(factor.astype(np.float64)) for factor in factors]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("rule", "newborn", "incumbent"),
    [(TwoSpeed(r=4, updates=2), 4, 1), (FreezeIncumbents(updates=2), 1, 0), (AgedRate(r=3, tau=50), 3, 1)],
)
def test_first_update_is_scaled_on_the_newborns_slices_and_on_nothing_else(optimizer, rule, newborn, incumbent):
    plain, ruled = changes(grown(optimizer, "none")), changes(grown(optimizer, rule))
    for without, with_rule, factor in zip(plain, ruled, expected_factors(newborn, incumbent), strict=True):
        torch.testing.assert_close(with_rule, factor * without, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_speed_ends_after_its_updates(optimizer):
    ruled, plain = grown(optimizer, TwoSpeed(r=4, updates=3)), grown(optimizer, "none")
    for population in (ruled, plain):
        population.train(*helpers.batches(3, 1, seed=1))
    # from equal weights and state on, both go the same way
    plain.state = replace(copy.deepcopy(ruled.state), phases=((),))
    for mine, theirs in zip(changes(ruled), changes(plain), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_budgets_may_be_cut_anywhere():
    whole, cut = (grown(Adam(0.003), TwoSpeed(r=4, updates=7)) for _ in range(2))
    x, y = helpers.batches(12, 1, seed=2)
    whole.train(x, y)
    for start, stop in ((0, 5), (5, 6), (6, 12)):
        cut.train(x[start:stop], y[start:stop])
    assert torch.equal(whole.state.weights, cut.state.weights)


def test_frozen_incumbents_do_not_move_and_newborns_learn():
    population = grown(SGD(0.1), FreezeIncumbents(updates=30))
    before = helpers.live_parameters(population, 0)
    population.train(*helpers.batches(30, 1))
    weight, _, above, *_ = helpers.live_parameters(population, 0)
    assert torch.equal(weight[:6], before[0][:6])
    assert torch.equal(above[:5, :6], before[2][:5, :6])
    assert (weight[6:] - before[0][6:]).abs().max() > 1e-3
    population.train(*helpers.batches(1, 1))
    assert not torch.equal(helpers.live_parameters(population, 0)[0][:6], before[0][:6])


def test_overlapping_phases():
    phases = (Phase(TwoSpeed(5, 10), 1, 0), Phase(TwoSpeed(3, 10), 2, 6), Phase(FreezeIncumbents(2), 2, 6))
    factors = unit_factors(phases, np.array([-1, 0, 1, 2]), np.array([6, 8, 10, 16]))
    np.testing.assert_array_equal(factors, [[0, 0, 0, 3], [1, 1, 5, 3], [1, 1, 1, 3], [1, 1, 1, 1]])


def test_aged_rate_decays():
    rule = AgedRate(r=5, tau=100)
    np.testing.assert_allclose(rule.newborns(np.array([0, 100, 10**6])), [5, 1 + 4 / np.e, 1])
    assert rule.updates == 1000


def test_neighbours_are_not_affected():
    alone, together = helpers.population(2, live=0.5), helpers.population(2, live=0.5)
    for population, rule in ((alone, "none"), (together, "two_speed")):
        edits = {0: Edit(grow=(2, 2), grow_rule="random", trainability=rule), 1: Edit(grow=(1, 1), grow_rule="random")}
        population.edit(edits, helpers.probe(population))
        population.train(*helpers.batches(10, 2))
    assert torch.equal(alone.state.weights[1], together.state.weights[1])
    assert not torch.equal(alone.state.weights[0], together.state.weights[0])


@dataclass(frozen=True)
class Holding:
    """A rule of somebody's own: newborns learn at half the speed, and nobody else learns."""

    updates = 2
    holds_incumbents = True

    def newborns(self, age):
        return np.full(age.shape, 0.5)


def test_rules_say_themselves_whether_they_hold_incumbents():
    factors = unit_factors((Phase(Holding(), 2, 6),), np.array([0, 1, 2]), np.array([6, 8]))
    np.testing.assert_array_equal(factors, [[0, 0, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: TwoSpeed(r=0.5),
        lambda: TwoSpeed(r="5"),
        lambda: TwoSpeed(updates=0),
        lambda: FreezeIncumbents(updates=0),
        lambda: AgedRate(tau=-1),
        lambda: AgedRate(tau=float("inf")),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(InvalidSetting, match="give"):
        make()


def test_every_rule_by_name_has_its_papers_default():
    assert TRAINABILITY["two_speed"] == TwoSpeed(r=5.0, updates=1955)
    assert TRAINABILITY["none"] is None
