"""Diagnostics against numbers worked out by hand."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import SGD, Adam, Edit, LearnerSettings
from plastic_env.learner import diagnostics
from plastic_env.learner.compute import forward_macs, training_macs
from plastic_env.learner.network import Network
from plastic_env.learner.probing import diagnose, measure_removal

# four samples of three live units and one column of padding
FEATURES = torch.tensor([[2.0, 0.0, 0.01, 0], [2, 0, 0.01, 0], [0, 0, 0.01, 0], [4, 0, 0.01, 0]], dtype=torch.double)
LIVE = torch.tensor([True, True, True, False])


def test_active_fraction_counts_what_exceeds_a_twentieth():
    assert diagnostics.active_fraction(FEATURES).tolist() == [0.75, 0, 0, 0]


def test_redo_scores_and_dormant_fraction():
    # mean |h|: 2, 0, .01; their mean: .67; scores 2.985, 0, .0149
    scores = diagnostics.redo_scores(FEATURES, LIVE)
    np.testing.assert_allclose(scores[:3], [2 / 0.67, 0, 0.01 / 0.67])
    assert diagnostics.dormant_fraction(FEATURES, LIVE).item() == pytest.approx(2 / 3)
    assert diagnostics.dormant_fraction(FEATURES, LIVE, tau=0.01).item() == pytest.approx(1 / 3)
    assert diagnostics.dormant_fraction(FEATURES * 0, LIVE).item() == 1


def test_log_parity():
    newborn = torch.tensor([False, True, True, False])
    incumbent = torch.tensor([True, False, False, False])
    values = torch.tensor([4.0, 1, 3, 0], dtype=torch.double)
    assert diagnostics.log_parity(values, newborn, incumbent).item() == pytest.approx(np.log(2 / 4))
    values = torch.tensor([4.0, 0, 0, 0], dtype=torch.double)
    assert diagnostics.log_parity(values, newborn, incumbent).item() == -5  # cut
    assert diagnostics.log_parity(values * 0, newborn, incumbent).item() == 0


def test_dead_units_are_zero_on_every_sample():
    assert diagnostics.dead_fraction(FEATURES, LIVE).item() == pytest.approx(1 / 3)


def ranks(matrix):
    singular = diagnostics.singular_values(torch.as_tensor(matrix))
    rules = (diagnostics.effective_rank, diagnostics.stable_rank, diagnostics.srank)
    return [rule(singular).tolist() for rule in rules]


def test_ranks_of_known_matrices():
    assert ranks(torch.eye(5)) == [pytest.approx(5), pytest.approx(5), 5]
    assert ranks(torch.ones(6, 4)) == [pytest.approx(1, abs=1e-5), pytest.approx(1), 1]
    assert ranks(torch.zeros(6, 4)) == [1, 1, 1]
    # singular values 3, 1, 0: entropy of (3/4, 1/4); (9 + 1) / 9; 3 < .99 * 4 <= 3 + 1
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    found = ranks(torch.diag(torch.tensor([1.0, 0.0, 3.0])))
    assert found == [pytest.approx(np.exp(entropy), abs=1e-6), pytest.approx(10 / 9), 2]
    # 200 and 1: the largest is .995 of all
    assert ranks(torch.diag(torch.tensor([200.0, 1.0])))[2] == 1
    both = ranks(torch.stack([torch.eye(4), torch.ones(4, 4)]))
    np.testing.assert_allclose(both, [[4, 1]] * 3, atol=1e-5)


def test_singular_values_equal_numpys():
    matrix = np.random.default_rng(0).normal(size=(3, 20, 7))
    expected = np.linalg.svd(matrix, compute_uv=False)[..., ::-1] / np.abs(matrix).max((1, 2))[:, None]
    np.testing.assert_allclose(diagnostics.singular_values(torch.from_numpy(matrix)), expected, rtol=1e-8)


def test_survivor_stability_and_sample_plasticity_by_hand():
    before = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    after = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert diagnostics.survivor_stability(before, after).item() == 3 / 6
    losses = torch.tensor([2.0, 1.0, 1.0]), torch.tensor([0.5, 3.0, 0.0])
    assert diagnostics.sample_plasticity(*losses).tolist() == [0.75, 0.0, 1.0]


def test_diagnosis_of_a_grown_learner_by_autograd():
    population = helpers.population(n=2, live=0.5, optimizer=SGD(0.1))
    population.train(*helpers.batches(30, 2))
    population.edit({0: Edit(grow=(4, 3))}, helpers.probe(population))
    population.train(*helpers.batches(7, 2, seed=3))
    found = diagnose(helpers.probe(population))
    network = helpers.plain_network(population, 0)
    x, y = helpers.batches(1, 2, 16, seed=99)
    h, pre = x[0, 0], []
    for module in network:
        h = module(h)
        if isinstance(module, torch.nn.Linear):
            h.retain_grad()
            pre.append(h)
    torch.nn.functional.cross_entropy(h, y[0, 0]).backward()
    for layer, old in ((0, 6), (1, 5)):
        gradient = pre[layer].grad.abs().mean(0)
        active = (torch.relu(pre[layer]) > 0.05).double().mean(0)
        for name, values in (("log_gradient_parity", gradient), ("log_activation_parity", active)):
            expected = torch.log(values[old:].mean() / values[:old].mean()).item()
            assert getattr(found, name)[0, layer] == pytest.approx(expected, abs=1e-9)
        above = network[2 * layer + 2].weight.detach().abs().sum(0)
        contribution = torch.relu(pre[layer]).mean(0) * above
        expected = torch.log(contribution[old:].mean() / contribution[:old].median()).item()
        assert found.log_utility_parity[0, layer] == pytest.approx(expected, abs=1e-9)
        weight = network[2 * layer].weight
        assert found.weight_norm[0, layer] == pytest.approx(weight.abs().mean().item())
        assert found.gradient_norm[0, layer] == pytest.approx(weight.grad.abs().mean().item())
    assert found.comparable.tolist() == [[True, True], [False, False]]
    np.testing.assert_allclose(found.newborn[0], [4 / 10, 3 / 8])
    np.testing.assert_allclose(found.age[0], [(6 * 37 + 4 * 7) / 10, (5 * 37 + 3 * 7) / 8])
    assert found.log_gradient_parity[1].tolist() == [0, 0]  # founders only: nothing to compare


def test_macs_equal_a_hand_count():
    # 3 inputs, 4 and 5 live units, 2 classes: forward 12 + 20 + 10;
    # backward the same for the weights, and 20 + 10 for the activations
    network = Network.of(LearnerSettings(hidden=(8, 8)), 3, 2)
    assert forward_macs(network, (3, 4, 5, 2)) == 42
    assert training_macs(network, (3, 4, 5, 2)) == 42 + 42 + 30


@pytest.mark.parametrize("members", [None, [1]])
def test_update_norm_is_what_the_latest_update_changed(members):
    population = helpers.population(2, live=0.5, optimizer=Adam(0.01))
    x, y = helpers.batches(8, 2 if members is None else 1)
    population.train(x[:7], y[:7], members)
    before = helpers.live_parameters(population, 1)
    population.train(x[7:], y[7:], members)
    after = helpers.live_parameters(population, 1)
    expected = [(after[2 * layer] - before[2 * layer]).abs().mean().item() for layer in (0, 1)]
    np.testing.assert_allclose(diagnose(helpers.probe(population)).update_norm[1], expected, rtol=1e-12)
    assert (diagnose(helpers.probe(population)).update_norm[0] > 0).all() == (members is None)


@pytest.mark.parametrize("optimizer", [SGD(0.3), Adam(0.01)])
def test_sample_plasticity_is_what_one_update_takes_away(optimizer):
    population, copy = (helpers.population(2, optimizer=optimizer) for _ in range(2))
    for learners in (population, copy):
        learners.train(*helpers.batches(10, 2))
    x, y = helpers.batches(1, 2, 16, seed=99)
    before = helpers.fingerprint(population)
    found = population.sample_plasticity(population.probe(x[0], y[0]))
    assert helpers.fingerprint(population) == before
    for member in range(2):
        first = losses(copy, member, x, y)
        copy.train(x[:, [member]], y[:, [member]], [member])
        expected = (1 - losses(copy, member, x, y) / first).clamp(0, 1).mean().item()
        assert 0 < expected < 1
        assert found[member] == pytest.approx(expected, abs=1e-12)


def losses(population, member, x, y):
    return F.cross_entropy(population.predict(x[0])[member], y[0, member], reduction="none")


def test_removal_compares_removed_with_kept_units_and_the_survivors_with_themselves():
    population = helpers.population(2, live=0.8, optimizer=SGD(0.1))
    population.train(*helpers.batches(20, 2))
    before, old = helpers.probe(population), population.state.units_of(1)[1]
    edit = Edit(prune=(3, 2), prune_rule="random", recycle=(0, 1), grow=(1, 0), insertion="fresh")
    population.edit({1: edit}, before)
    after, new = helpers.probe(population), population.state.units_of(1)[1]
    untouched, found = measure_removal(before, after, [0, 1]).values()
    assert np.isnan(untouched.stability).all()
    assert found.stability[0] < 1e-12  # what feeds the first layer's survivors is what it was
    kept = torch.from_numpy(np.isin(old.id, new.id))
    assert kept.sum() == len(old) - 3
    h, gradient = before.inputs[2][1, :, : len(old)], before.deltas[1][1, :, : len(old)].abs().mean(0)
    places = [new.id.tolist().index(unit) for unit in old.id[kept.numpy()]]
    later = after.inputs[2][1, :, places]
    active = (h > 0.05).double().mean(0)
    for name, values in (("activation", active), ("gradient", gradient)):
        expected = torch.log(values[~kept].mean() / values[kept].mean()).item()
        assert getattr(found, f"log_{name}_parity")[1] == pytest.approx(expected)
    change = (later - h[:, kept]).abs().sum() / h[:, kept].abs().sum()
    assert found.stability[1] == pytest.approx(change.item())
