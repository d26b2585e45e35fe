"""Optimizer state of newborns, bias transfer, checkpoints."""

import helpers
import numpy as np
import pytest
import torch

from plastic_env import SGD, Adam, Edit
from plastic_env.errors import InvalidEdit


def trained(optimizer, updates=400):
    population = helpers.population(1, live=0.5, optimizer=optimizer)
    population.train(*helpers.batches(updates, 1))
    return population


def moved(population, updates, seed=8):
    """Absolute changes of the newborns' incoming weights in the last of some updates on one repeated batch."""
    x, y = helpers.batches(1, 1, seed=seed)
    for _ in range(updates):
        before = helpers.live_parameters(population, 0)[0][6:]
        population.train(x, y)
    return (helpers.live_parameters(population, 0)[0][6:] - before).abs()


@pytest.mark.parametrize("optimizer", [SGD(0.05, momentum=0.9), Adam(0.003)])
def test_transplant_copies_the_nearest_donors_buffers(optimizer):
    population = trained(optimizer)
    population.edit({0: Edit(grow=(3, 2), optimizer_state="transplant")}, helpers.probe(population))
    weights = helpers.live_parameters(population, 0)
    for layer, old in ((0, 6), (1, 5)):
        rows = torch.nn.functional.normalize(weights[2 * layer], dim=1)
        donors = (rows[old:] @ rows[:old].T).argmax(1)
        for flat in population.state.moments:
            buffers = helpers.live_parameters(population, 0, flat)
            into, bias, out = buffers[2 * layer : 2 * layer + 3]
            torch.testing.assert_close(into[old:], into[donors], rtol=0, atol=0)
            torch.testing.assert_close(bias[old:], bias[donors], rtol=0, atol=0)
            assert into[old:].abs().max() > 0
            if layer == 1:  # below, the rows of newborns above are copied afterwards
                torch.testing.assert_close(out[:, old:], out[:, donors], rtol=0, atol=0)
        assert (population.state.units_of(0)[layer].clock == 0).all()  # as old as their donors


def test_transplant_from_named_donors():
    population = trained(Adam(0.003))
    wanted = ((4, 2), ())
    population.edit({0: Edit(grow=(2, 0), optimizer_state="transplant", donors=wanted)}, helpers.probe(population))
    for flat in population.state.moments:
        into, _, out, *_ = helpers.live_parameters(population, 0, flat)
        torch.testing.assert_close(into[6:], into[[4, 2]], rtol=0, atol=0)
        torch.testing.assert_close(out[:, 6:], out[:, [4, 2]], rtol=0, atol=0)
    before = helpers.fingerprint(population)
    edit = Edit(grow=(2, 0), optimizer_state="transplant", donors=((4, 99), ()))
    with pytest.raises(InvalidEdit, match="name one incumbent for each"):
        population.edit({0: edit}, helpers.probe(population))
    assert helpers.fingerprint(population) == before


@pytest.mark.parametrize(("k", "ratio"), [(1, 3.16), (12, 6.57)])
def test_padded_state_makes_newborns_jump(k, ratio):
    """With zero moments and the layer's old age, a constant gradient moves a weight by
    (1 - b1^k) / sqrt(1 - b2^k) times the learning rate at update k, when the age is large."""
    rate = 1e-9  # so small that the gradient of the repeated batch stays what it is
    padded = {}
    for state in ("fresh", "padded"):
        population = trained(Adam(rate, eps=1e-30), updates=30_000 if state == "padded" else 100)
        edit = Edit(grow=(3, 0), grow_rule="random", optimizer_state=state)
        population.edit({0: edit}, helpers.probe(population))
        changes = moved(population, k)
        padded[state] = (changes[changes > 0] / rate).median().item()
    expected = (1 - 0.9**k) / (1 - 0.999**k) ** 0.5
    assert expected == pytest.approx(ratio, abs=0.01)
    assert padded["fresh"] == pytest.approx(1, rel=1e-3)
    assert padded["padded"] == pytest.approx(expected, rel=1e-3)


def test_reset_empties_everybodys_state():
    population = trained(Adam(0.003))
    weights = helpers.live_parameters(population, 0)[0]
    population.edit({0: Edit(grow=(3, 0), optimizer_state="reset")}, helpers.probe(population))
    assert all(flat.abs().max() == 0 for flat in population.state.moments)
    assert (population.state.units_of(0)[1].clock == 400).all()
    assert population.state.restarted[0] == 400
    torch.testing.assert_close(helpers.live_parameters(population, 0)[0][:6], weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    "edit", [Edit(prune=(2, 0), transfer_bias=True), Edit(recycle=(2, 0), insertion="zero_out", transfer_bias=True)]
)
def test_bias_transfer_keeps_the_mean_of_the_next_pre_activations(edit):
    population = trained(SGD(0.1))
    before = helpers.probe(population)
    mean = pre_activations(population, before).mean(0)
    population.edit({0: edit}, before)
    after = helpers.probe(population)
    torch.testing.assert_close(pre_activations(population, after).mean(0), mean, rtol=0, atol=1e-12)
    population = trained(SGD(0.1))
    population.edit({0: Edit(prune=(2, 0))}, helpers.probe(population))
    assert (pre_activations(population, helpers.probe(population)).mean(0) - mean).abs().max() > 1e-3


def pre_activations(population, probe):
    layer = population.layers()[1]
    return (probe.inputs[1][0] @ layer.weight[0].T + layer.bias[0])[:, :5]


def test_rewinding_to_a_checkpoint():
    population = trained(Adam(0.003), updates=50)
    stored = helpers.live_parameters(population, 0)
    population.edit({0: Edit(store=True)})
    population.train(*helpers.batches(50, 1, seed=4))
    population.edit({0: Edit(grow=(2, 0), grow_rule="random")}, helpers.probe(population))
    population.train(*helpers.batches(50, 1, seed=5))
    population.edit({0: Edit(prune=(1, 0), prune_rule="oldest", rewind="checkpoint")}, helpers.probe(population))
    weight, bias, above, *rest = helpers.live_parameters(population, 0)
    slots = population.state.units_of(0)[0].slot
    old = np.flatnonzero(slots < 6)
    assert sorted(slots[old]) == [1, 2, 3, 4, 5]
    torch.testing.assert_close(weight[old], stored[0][slots[old]], rtol=0, atol=0)
    torch.testing.assert_close(above[:, old], stored[2][:, slots[old]], rtol=0, atol=0)
    for mine, theirs in zip(rest, stored[3:], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    born = np.flatnonzero(slots >= 6)  # after it was stored: back to their initial weights
    torch.testing.assert_close(weight[born], population.state.initial[0].weight[0, slots[born]], rtol=0, atol=0)
    assert torch.isfinite(bias).all()
    population.begin({0: np.random.default_rng(0)})
    with pytest.raises(InvalidEdit, match="No checkpoint"):  # another learner has stored nothing
        population.edit({0: Edit(rewind="checkpoint")})


def test_reset_empties_moments_together_with_clocks_whatever_else_is_asked():
    population = trained(Adam(0.003), updates=50)
    population.edit({0: Edit(store=True, optimizer_state="reset")})
    assert population.state.restarted[0] == 50
    assert all(flat.abs().max() == 0 for flat in population.state.moments)


def test_an_edit_that_asks_for_nothing_does_nothing_whatever_the_others_do():
    population = helpers.population(2, optimizer=Adam(0.003))
    population.train(*helpers.batches(50, 2))
    before = helpers.live_parameters(population, 0, population.state.moments[0])
    idle, other = Edit(optimizer_state="reset"), Edit(prune=(1, 0))
    assert population.edit({0: idle, 1: other}, helpers.probe(population)) == {0: 0, 1: 0}
    assert population.state.restarted[0] == 0
    for mine, old in zip(helpers.live_parameters(population, 0, population.state.moments[0]), before, strict=True):
        assert torch.equal(mine, old)


def test_donors_of_another_number_of_layers_are_refused():
    population = trained(Adam(0.003))
    edit = Edit(grow=(0, 1), optimizer_state="transplant", donors=((),))
    with pytest.raises(InvalidEdit, match="for 1 layers; give 2"):
        population.edit({0: edit}, helpers.probe(population))
