"""Diagnostics against numbers worked out by hand."""

import helpers
import numpy as np
import pytest
import torch

from plastic_env import SGD, Edit
from plastic_env.learner import diagnostics
from plastic_env.learner.compute import forward_macs, training_macs

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


def test_effective_rank_of_known_matrices():
    assert diagnostics.effective_rank(torch.eye(5)).item() == pytest.approx(5)
    assert diagnostics.effective_rank(torch.ones(6, 4)).item() == pytest.approx(1, abs=1e-5)
    assert diagnostics.effective_rank(torch.zeros(6, 4)).item() == 1
    # singular values 3 and 1: entropy of (3/4, 1/4)
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert diagnostics.effective_rank(torch.diag(torch.tensor([3.0, 1.0, 0.0]))).item() == pytest.approx(
        expected, abs=1e-6
    )
    stacked = torch.stack([torch.eye(4), torch.ones(4, 4)])
    np.testing.assert_allclose(diagnostics.effective_rank(stacked), [4, 1], atol=1e-5)


def test_diagnosis_of_a_grown_learner_by_autograd():
    population = helpers.population(n=2, live=0.5, optimizer=SGD(0.1))
    population.train(*helpers.batches(30, 2))
    population.edit({0: Edit(grow=(4, 3))}, helpers.probe(population))
    population.train(*helpers.batches(7, 2, seed=3))
    found = population.diagnose(helpers.probe(population))
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
    assert forward_macs((3, 4, 5, 2)) == 42
    assert training_macs((3, 4, 5, 2)) == 42 + 42 + 30
