"""Maintenance: each rule's update by hand, and what all of them must leave alone."""

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import SGD, UPGD, Adam, Conv, Edit, EpisodeSettings, LearnerSettings, Lifetime
from plastic_env.agents.resets import ReDo
from plastic_env.env.encoding import Codec
from plastic_env.errors import InvalidEdit, InvalidSetting
from plastic_env.learner import snapshots, training
from plastic_env.learner.penalties import L2, Dropout, L2Init, NaP, ShrinkPerturb, Spectral
from plastic_env.learner.replacement import ContinualBackprop, ContinuousCBP
from plastic_env.scenarios import find

QUICK_CBP = ContinualBackprop(rho=0.02, eta=0.9, maturity=5)
RULES = {
    "l2": {"maintenance": (L2(1e-2),)},
    "l2_init": {"maintenance": (L2Init(),)},
    "shrink_perturb": {"maintenance": (ShrinkPerturb(),)},
    "spectral": {"maintenance": (Spectral(1e-2),)},
    "nap": {"maintenance": (NaP(),), "norm": "layer"},
    "dropout": {"maintenance": (Dropout(0.3),)},
    "cbp": {"maintenance": (QUICK_CBP,)},
    "continuous_cbp": {"maintenance": (ContinuousCBP(0.1, every=3),)},
    "upgd": {"optimizer": UPGD()},
    "upgd_cbp": {"optimizer": UPGD(), "maintenance": (QUICK_CBP,)},
    "many": {"maintenance": (L2Init(), Dropout(), ShrinkPerturb(), QUICK_CBP, NaP()), "norm": "layer"},
}
OPTIMIZERS = {"sgd": SGD(0.05), "momentum": SGD(0.02, momentum=0.9), "adam": Adam(0.003)}


def mixed(seed=0, n=4, **settings):
    """Learners of different widths, trained and edited."""
    made = helpers.population(n, live=0.5, seed=seed, **settings)
    made.train(*helpers.batches(8, n, seed=1))
    grow = {0: Edit(grow=(6, 5)), 1: Edit(grow=(2, 0), grow_rule="random"), 2: Edit(prune=(1, 2))}
    made.edit(grow, helpers.probe(made))
    return made


def trained(rule, optimizer, updates=30, n=1, **settings):
    made = helpers.population(n, optimizer=optimizer, maintenance=(rule,) if rule else (), **settings)
    if updates:
        made.train(*helpers.batches(updates, n, seed=1))
    return made


def first_weights(made):
    """The initial live weights, as live_parameters gives the present ones."""
    return helpers.live_parameters(made, 0, made.state.live_initial)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", [L2(0.03), L2Init(0.03)], ids=["l2", "l2_init"])
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_penalties_equal_torch_with_the_penalty_in_the_loss(rule, optimizer, norm):
    made = trained(rule, OPTIMIZERS[optimizer], 0, norm=norm)
    network = helpers.plain_network(made, 0)
    ours = OPTIMIZERS[optimizer]
    theirs = (
        torch.optim.Adam(network.parameters(), ours.lr)
        if optimizer == "adam"
        else torch.optim.SGD(network.parameters(), ours.lr, momentum=ours.momentum)
    )
    targets = [p.detach().clone() * isinstance(rule, L2Init) for p in network.parameters()]
    x, y = helpers.batches(20, 1)
    made.train(x, y)
    for inputs, labels in zip(x[:, 0], y[:, 0], strict=True):
        penalty = sum((p - t).square().sum() for p, t in zip(network.parameters(), targets, strict=True))
        theirs.zero_grad()
        (F.cross_entropy(network(inputs), labels) + rule.lam * penalty).backward()
        theirs.step()
    for mine, other in zip(helpers.live_parameters(made, 0), network.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach().view_as(mine), rtol=0, atol=1e-9)


def test_l2_init_pulls_newborns_to_where_they_were_born():
    made = mixed(maintenance=(L2Init(0.5),), optimizer=SGD(1e-3))
    made.edit({m: Edit(recycle=(2, 1), insertion="fresh") for m in range(4)}, helpers.probe(made))
    before = helpers.live_parameters(made, 0)
    x, y = helpers.batches(1, 4)
    network = helpers.plain_network(made, 0)
    gradients = torch.autograd.grad(F.cross_entropy(network(x[0, 0]), y[0, 0]), list(network.parameters()))
    slots = [np.arange(helpers.INPUTS), *(u.slot for u in made.state.units_of(0))]
    initial = []
    for below, above, layer in zip(slots, slots[1:], made.state.initial, strict=False):
        initial += [layer.weight[0][np.ix_(above, below)], layer.vectors[0, 0, above]]
    made.train(x, y)
    for now, old, g, start in zip(helpers.live_parameters(made, 0), before, gradients, initial, strict=True):
        torch.testing.assert_close(now, old - 1e-3 * (g + 2 * 0.5 * (old - start)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_spectral_penalty_pulls_the_largest_singular_values_to_one(k):
    rule, lr = Spectral(0.1, k), 1e-7
    made = trained(rule, SGD(lr), 400)  # so slow that the power iteration arrives
    network = helpers.plain_network(made, 0)
    x, y = helpers.batches(1, 1)
    penalty = sum((torch.linalg.matrix_norm(p, 2) ** k - 1).square() for p in network.parameters() if p.ndim == 2)
    loss = F.cross_entropy(network(x[0, 0]), y[0, 0]) + rule.lam * penalty
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    before = helpers.live_parameters(made, 0)
    made.train(x, y)
    for old, now, g in zip(before, helpers.live_parameters(made, 0), gradients, strict=True):
        torch.testing.assert_close((old - now) / lr, g, rtol=0, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_shrink_and_perturb_by_hand(optimizer):
    plain, shrunk, both = (
        trained(rule, OPTIMIZERS[optimizer], 0, norm="layer")
        for rule in (None, ShrinkPerturb(0.01, 0.0), ShrinkPerturb(0.01, 0.5))
    )
    x, y = helpers.batches(1, 1)
    for made in (plain, shrunk, both):
        made.train(x, y)
    names = ["weight", "bias", "gain", "shift"] * 2 + ["weight", "bias"]
    flats = (helpers.live_parameters(made, 0) for made in (plain, shrunk, both))
    for name, base, less, noisy in zip(names, *flats, strict=True):
        if name in ("gain", "shift"):
            assert torch.equal(base, less)
            assert torch.equal(base, noisy)
            continue
        torch.testing.assert_close(less, 0.99 * base)
        if name == "weight":
            columns = base.shape[1]
        noise = (noisy - less) * columns**0.5 / 0.5  # uniform in [-1, 1]
        assert noise.abs().max() <= 1
        if noise.numel() > 50:
            assert abs(noise.std() - 3**-0.5) < 0.1
            assert abs(noise.mean()) < 0.2
            assert noise.unique().numel() > 30


def test_upgd_by_hand_with_an_age_per_parameter():
    rule = UPGD(lr=0.05, beta=0.9, sigma=0.0, decay=0.02)
    made = mixed(optimizer=rule)
    made.train(*helpers.batches(3, 4, seed=6))
    ages = helpers.parameter_ages(made, 0)
    assert len({int(a) for age in ages for a in age.flatten()}) > 1
    network = helpers.plain_network(made, 0)
    utilities = helpers.live_parameters(made, 0, made.state.moments[0])
    x, y = helpers.batches(5, 4, seed=5)
    made.train(x, y)
    for step in range(5):
        weights = list(network.parameters())
        gradients = torch.autograd.grad(F.cross_entropy(network(x[step, 0]), y[step, 0]), weights)
        with torch.no_grad():
            utilities = [0.9 * u - 0.1 * g * w for u, g, w in zip(utilities, gradients, weights, strict=True)]
            hats = [u / (1 - 0.9 ** (age + step + 1)) for u, age in zip(utilities, ages, strict=True)]
            most = max(float(hat.max()) for hat in hats)
            for w, g, hat in zip(weights, gradients, hats, strict=True):
                gate = 1 - torch.sigmoid(hat / most)
                w.copy_((1 - 0.05 * 0.02) * w - 0.05 * g * gate)
    for mine, other in zip(helpers.live_parameters(made, 0), network.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=0, atol=1e-10)


def test_noise_of_upgd_is_gated_and_has_its_variance():
    lr, sigma = 0.1, 3.0
    quiet, noisy = (trained(None, UPGD(lr, 0.9, s, 0.0), 0, hidden=(60, 50)) for s in (0.0, sigma))
    before = helpers.live_parameters(quiet, 0)
    network = helpers.plain_network(quiet, 0)
    x, y = helpers.batches(1, 1)
    gradients = torch.autograd.grad(F.cross_entropy(network(x[0, 0]), y[0, 0]), list(network.parameters()))
    quiet.train(x, y)
    noisy.train(x, y)
    utilities = [-g * w for g, w in zip(gradients, before, strict=True)]
    most = max(float(u.max()) for u in utilities)
    parts = zip(helpers.live_parameters(quiet, 0), helpers.live_parameters(noisy, 0), utilities, strict=True)
    noise = torch.cat([((a - b) / (lr * sigma * torch.sigmoid(-u / most))).flatten() for a, b, u in parts])
    assert abs(noise.mean()) < 0.05
    assert abs(noise.var() - 1) < 0.05


def test_sample_plasticity_of_upgd_draws_nothing():
    made = mixed(optimizer=UPGD())
    before = helpers.fingerprint(made)
    assert (made.sample_plasticity(helpers.probe(made)) >= 0).all()
    assert helpers.fingerprint(made) == before


@pytest.mark.parametrize("activation", ["relu", "crelu", "tanh"])
def test_dropout_by_hand(activation):
    made = trained(Dropout(0.4), SGD(0.1), 0, activation=activation)
    network, outputs = helpers.plain_network(made, 0), 2 if activation == "crelu" else 1
    generator = torch.Generator()
    generator.set_state(made.noise_rngs[0].get_state())
    x, y = helpers.batches(1, 1)
    h = x[0, 0]
    for module in network:
        h = module(h)
        if type(module) is helpers.PLAIN[activation]:
            mask = torch.rand((5, h.shape[1] // outputs), generator=generator, dtype=torch.float64) >= 0.4
            h = h * mask.repeat_interleave(outputs, 1) / 0.6
    loss = F.cross_entropy(h, y[0, 0])
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    scores = made.train(x, y)
    np.testing.assert_allclose(scores.loss[0, 0], loss.item())
    for now, p, g in zip(helpers.live_parameters(made, 0), network.parameters(), gradients, strict=True):
        torch.testing.assert_close(now, (p - 0.1 * g).detach())


@pytest.mark.parametrize("activation", ["relu", "random_smooth_leaky"])
def test_dropout_is_for_training_only(activation):
    made, plain = (trained(rule, SGD(0.1), 0, activation=activation) for rule in (Dropout(0.4), None))
    x, y = helpers.batches(1, 1)
    assert torch.equal(made.predict(x[0]), plain.predict(x[0]))
    assert torch.equal(made.probe(x[0], y[0]).losses, plain.probe(x[0], y[0]).losses)
    made.train(x, y)
    assert torch.isfinite(made.state.weights).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_projection_by_hand(optimizer):
    made, plain = (trained(rule, OPTIMIZERS[optimizer], 0, norm="layer") for rule in (NaP(), None))
    start = first_weights(made)
    x, y = helpers.batches(1, 1)
    for one in (made, plain):
        one.train(x, y)
    for mine, free, first in zip(*(helpers.live_parameters(p, 0) for p in (made, plain)), start, strict=True):
        expected = free * first.norm() / free.norm() if mine.ndim == 2 else free
        torch.testing.assert_close(mine, expected)


class PlainCBP:
    """Continual backprop on one fully connected ReLU network, with one age per parameter, straight from the paper."""

    def __init__(self, network, rng, optimizer, rule, columns):
        self.network, self.rng, self.optimizer, self.rule, self.columns = network, rng, optimizer, rule, columns
        self.weights = [network[0].weight, network[2].weight, network[4].weight]
        self.biases = [network[0].bias, network[2].bias, network[4].bias]
        self.utility = [np.zeros(w.shape[0]) for w in self.weights[:2]]
        self.age = [np.zeros(w.shape[0]) for w in self.weights[:2]]
        self.account, self.replaced = [0.0, 0.0], []
        self.mean, self.square, self.steps = (
            {p: torch.zeros_like(p) for p in (*self.weights, *self.biases)} for _ in range(3)
        )

    def update(self, x, y):
        h = [F.relu(x @ self.weights[0].T + self.biases[0])]
        h.append(F.relu(h[0] @ self.weights[1].T + self.biases[1]))
        loss = F.cross_entropy(h[1] @ self.weights[2].T + self.biases[2], y)
        parameters = [*self.weights, *self.biases]
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                self.descend(p, g)
            for layer in (0, 1):
                self.test(layer, h[layer].abs().mean(0).numpy())
            for layer, unit, fresh in [entry[1:] for entry in self.replaced if entry[0] == self.now]:
                self.replace(layer, unit, fresh)
        self.now += 1

    now = 0

    def descend(self, p, g):
        mean, square, steps = self.mean[p], self.square[p], self.steps[p]
        steps += 1
        if isinstance(self.optimizer, Adam):
            mean.copy_(0.9 * mean + 0.1 * g)
            square.copy_(0.999 * square + 0.001 * g * g)
            p -= self.optimizer.lr * (mean / (1 - 0.9**steps)) / ((square / (1 - 0.999**steps)).sqrt() + 1e-8)
        else:
            mean.copy_(self.optimizer.momentum * mean + g)
            p -= self.optimizer.lr * mean

    def test(self, layer, size):
        rule, age = self.rule, self.age[layer]
        age += 1
        now = size * self.weights[layer + 1].abs().sum(0).numpy()
        self.utility[layer] = rule.eta * self.utility[layer] + (1 - rule.eta) * now
        mature = np.flatnonzero(age > rule.maturity)
        self.account[layer] += rule.rho * len(mature)
        while self.account[layer] >= 1:
            self.account[layer] -= 1
            worth = self.utility[layer][mature] / (1 - rule.eta ** age[mature])
            bound = self.columns[layer] ** -0.5
            fresh = self.rng.uniform(-bound, bound, self.columns[layer])
            self.replaced.append((self.now, layer, mature[worth.argmin()], fresh))

    def replace(self, layer, unit, fresh):
        self.weights[layer][unit] = torch.from_numpy(fresh[: self.weights[layer].shape[1]])
        self.biases[layer][unit] = 0
        self.weights[layer + 1][:, unit] = 0
        self.utility[layer][unit] = self.age[layer][unit] = 0
        for kept in (self.mean, self.square, self.steps):
            kept[self.weights[layer]][unit] = 0
            kept[self.biases[layer]][unit] = 0
            kept[self.weights[layer + 1]][:, unit] = 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_continual_backprop_by_hand(optimizer):
    rule = ContinualBackprop(rho=0.01, eta=0.9, maturity=20)
    made = trained(rule, OPTIMIZERS[optimizer], 0, n=3)
    generators = [np.random.default_rng() for _ in range(3)]
    for rng, generator in zip(generators, made.rngs, strict=True):
        rng.bit_generator.state = generator.bit_generator.state
    plain = [
        PlainCBP(helpers.plain_network(made, m), generators[m], OPTIMIZERS[optimizer], rule, (helpers.INPUTS, 12))
        for m in range(3)
    ]
    x, y = helpers.batches(120, 3)
    made.train(x[:50], y[:50])
    made.train(x[50:], y[50:])
    for member, theirs in enumerate(plain):
        for step in range(120):
            theirs.update(x[step, member], y[step, member])
        expected = [p for pair in zip(theirs.weights, theirs.biases, strict=True) for p in pair]
        for mine, other in zip(helpers.live_parameters(made, member), expected, strict=True):
            torch.testing.assert_close(mine, other.detach(), rtol=0, atol=1e-8)
        assert len(theirs.replaced) > 10
        for layer in (0, 1):
            units = made.state.units[layer].of(member)
            latest = {unit: now + 1 for now, at, unit, _ in theirs.replaced if at == layer}
            assert units.born.tolist() == [latest.get(unit, 0) for unit in range(len(units))]
            assert units.clock.tolist() == units.born.tolist()
        ids = np.concatenate([made.state.units[layer].of(member).id for layer in (0, 1)])
        assert len(set(ids.tolist())) == len(ids)
        assert made.state.ids[member] == 22 + len(theirs.replaced)
        assert made.state.cohorts[member] == 1 + len({now for now, *_ in theirs.replaced})


def test_replaced_units_are_pulled_to_their_new_initial_weights():
    made = trained(QUICK_CBP, SGD(1e-9), 40)
    born = np.flatnonzero(made.state.units[0].born[0])
    assert born.size
    for unit in born:
        torch.testing.assert_close(made.state.initial[0].weight[0, unit], made.layers()[0].weight[0, unit])
        assert made.state.initial[0].vectors[0, 0, unit] == 0


def test_maturity_protects_newborns():
    made = trained(ContinualBackprop(rho=1.0, maturity=10), SGD(0.01), 10)
    assert (made.state.units[0].born == 0).all()
    made.train(*helpers.batches(1, 1))
    assert (made.state.units[0].born[0, :12] == 11).all()  # all at once
    made.train(*helpers.batches(10, 1))
    assert (made.state.units[0].born[0, :12] == 11).all()


def test_continuous_cbp_by_hand():
    rule = ContinuousCBP(rho=0.3, kappa=4.0, theta=0.9, eta=0.5, every=2)
    made, plain = (trained(r, SGD(0.1), 0, hidden=(40, 30)) for r in (rule, None))
    network = helpers.plain_network(made, 0)
    x, y = helpers.batches(2, 1)
    utility = [torch.ones(40, dtype=torch.float64), torch.ones(30, dtype=torch.float64)]
    for step in range(2):
        loss = F.cross_entropy(network(x[step, 0]), y[step, 0])
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        for layer in (0, 1):
            size = gradients[2 * layer].abs().mean(1)
            utility[layer] = 0.5 * utility[layer] + 0.5 * size / size.mean()
        if step == 0:
            first_utility = utility[0]
        with torch.no_grad():
            for p, g in zip(network.parameters(), gradients, strict=True):
                p -= 0.1 * g
    q = [0.3 * torch.exp(-4.0 * (u - 0.9)).clamp(max=1) for u in utility]
    plain.train(x, y)
    made.train(x[:1], y[:1])
    torch.testing.assert_close(
        made.state.unit_memory[0][0, 0], first_utility - 1
    )  # the memory holds the distance from 1
    made.train(x[1:], y[1:])
    first, bias, second, _, head, _ = helpers.live_parameters(made, 0)
    w1, b1, w2, _, w3, _ = helpers.live_parameters(plain, 0)
    torch.testing.assert_close(bias, b1)
    torch.testing.assert_close(head, w3 * (1 - q[1]))
    for now, kept, share, columns in ((first, w1, q[0], 7), (second, w2 * (1 - q[0]), q[1], 40)):
        fresh = (now - (1 - share)[:, None] * kept) / share[:, None] * columns**0.5
        assert fresh.abs().max() < 1 + 1e-9
        assert abs(fresh.std() - 3**-0.5) < 0.06
    assert all((layer == 0).all() for layer in made.state.unit_memory)  # all utilities are 1 again


@pytest.mark.parametrize("name", RULES)
def test_padding_stays_zero_and_neighbours_do_not_matter(name):
    made = mixed(**RULES[name])
    x, y = helpers.batches(40, 4, seed=2)
    made.train(x, y)
    state = made.state
    live = [units.exists for units in state.units]
    for flat in (state.weights, *state.moments):
        for at, layer in enumerate(state.layout.views(flat)):
            assert (layer.vectors.mT[torch.from_numpy(~live[at])] == 0).all()
            assert (layer.weight[torch.from_numpy(~live[at])] == 0).all()
            if at:
                assert (layer.weight.mT[torch.from_numpy(~live[at - 1])] == 0).all()
    for at, trace in enumerate(state.unit_memory):
        assert (trace.mT[torch.from_numpy(~live[at])] == 0).all()
    alone = helpers.population(1, live=0.5, **RULES[name])  # learner 3, who is never edited
    alone.begin({0: np.random.default_rng([0, 3])})
    alone.train(*(t[:, 3:] for t in helpers.batches(8, 4, seed=1)))
    alone.train(x[:, 3:], y[:, 3:])
    for mine, other in zip(helpers.live_parameters(made, 3), helpers.live_parameters(alone, 0), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_groups_threads_and_stretches_make_no_difference(name, monkeypatch):
    prints = []
    for cache, threads, cuts in ((2**30, 1, [40]), (1, 1, [40]), (2**30, 3, [40]), (2**30, 1, [1, 13, 26])):
        monkeypatch.setattr(training, "CACHE_BYTES", cache)
        made = mixed(**RULES[name])
        made.threads = threads
        x, y = helpers.batches(40, 4, seed=2)
        for cut in cuts:
            made.train(x[:cut], y[:cut])
            x, y = x[cut:], y[cut:]
        prints.append(helpers.fingerprint(made))
    assert all(found == prints[0] for found in prints[1:])


@pytest.mark.parametrize("name", RULES)
def test_snapshots_go_on_bit_for_bit_and_forks_are_alike(name):
    made, other = mixed(**RULES[name]), helpers.population(4, live=0.5, seed=9, **RULES[name])
    snapshots.restore(other, snapshots.capture(made))
    forks = helpers.population(2, live=0.5, seed=9, **RULES[name])
    snapshots.restore(forks, snapshots.capture(made, [1, 1]))
    x, y = helpers.batches(30, 4, seed=2)
    for one in (made, other):
        one.train(x, y)
    assert helpers.fingerprint(made) == helpers.fingerprint(other)
    forks.train(x[:, [1, 1]], y[:, [1, 1]])
    assert torch.equal(forks.state.weights[0], forks.state.weights[1])
    torch.testing.assert_close(forks.state.weights[0], made.state.weights[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_a_learner_that_is_not_trained_is_left_alone(name):
    made = mixed(**RULES[name])
    before = [
        helpers.live_parameters(made, 2),
        [t[2].clone() for t in made.state.unit_memory],
        made.state.due_units[2].copy(),
    ]
    x, y = helpers.batches(20, 3, seed=2)
    made.train(x, y, [0, 1, 3])
    assert all(torch.equal(a, b) for a, b in zip(helpers.live_parameters(made, 2), before[0], strict=True))
    assert all(torch.equal(t[2], old) for t, old in zip(made.state.unit_memory, before[1], strict=True))
    assert (made.state.due_units[2] == before[2]).all()


@pytest.mark.parametrize("rule", [QUICK_CBP, Spectral(), ContinuousCBP(every=10**6)], ids=["cbp", "spectral", "ccbp"])
def test_edits_carry_memory_with_their_units(rule):
    made = helpers.population(2, live=0.7, maintenance=(replace(rule, rho=0.0) if rule is QUICK_CBP else rule,))
    made.train(*helpers.batches(12, 2))

    def by_id():
        return [
            {int(units.id[0, at]): memory[0, :, at].tolist() for at in range(int(units.live[0]))}
            for units, memory in zip(made.state.units, made.state.unit_memory, strict=True)
        ]

    before = by_id()
    made.edit({0: Edit(prune=(2, 1), recycle=(1, 2), grow=(4, 3))}, helpers.probe(made))
    for old, new in zip(before, by_id(), strict=True):
        assert set(old) & set(new)
        for unit, memory in new.items():
            assert memory == old.get(unit, [0.0] * len(memory))
    made.edit({0: Edit(rewind="initial")})
    assert all((layer[0] == 0).all() for layer in made.state.unit_memory)
    assert all((layer[1] != 0).any() for layer in made.state.unit_memory[:2])


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_all_rules_at_work_on_convolutions(norm, activation):
    rules = (L2Init(), ShrinkPerturb(), Spectral(), Dropout(), QUICK_CBP, ContinuousCBP(every=2))
    hidden, n = (Conv(4, editable=False), Conv(8), 10), 2
    made = helpers.population(
        n, hidden, 0.5, inputs=helpers.PICTURE, norm=norm, activation=activation, maintenance=rules, optimizer=UPGD()
    )
    for seed in range(3):
        made.train(*helpers.batches(15, n, seed=seed, inputs=72))
        x, y = helpers.batches(1, n, 16, seed, 72)
        made.edit({0: Edit(grow=(1, 1), prune=(1, 0))}, made.probe(x[0], y[0]))
    assert torch.isfinite(made.state.weights).all()
    assert (made.state.units[0].born == 0).all()  # that layer may not be edited
    assert (made.state.units[1].born > 0).any()
    if norm == "batch":
        assert (made.layers()[1].vectors[0, 4, :4] > 0).all()  # variances


def test_contribution_utility_counts_all_that_a_unit_feeds():
    """Conv channels that feed pixels to a dense layer, and CReLU's two outputs, against plain sums."""
    made = helpers.population(
        1,
        (Conv(4), 6),
        inputs=helpers.PICTURE,
        activation="crelu",
        maintenance=(ContinualBackprop(),),
        optimizer=SGD(0.1),
    )
    network = helpers.plain_network(made, 0)
    x, y = helpers.batches(1, 1, inputs=72)
    with torch.no_grad():
        fed = network[:5](x[0, 0]).abs().mean(0)  # flat: unit by unit, output by output, pixel by pixel
    made.train(x, y)
    outgoing = made.layers()[1].weight[0].abs().sum(0)
    torch.testing.assert_close(made.state.unit_memory[0][0, 0], 0.01 * (fed * outgoing).view(4, -1).sum(1))


def test_head_reset_by_hand():
    made = trained(None, Adam(0.01), 10, n=2)
    before, moments = (helpers.live_parameters(made, 0, flat) for flat in (None, made.state.moments[0]))
    neighbour = helpers.live_parameters(made, 1)
    rng = np.random.default_rng()
    rng.bit_generator.state = made.rngs[0].bit_generator.state
    made.edit({0: Edit(rewind="head")})
    after, left = (helpers.live_parameters(made, 0, flat) for flat in (None, made.state.moments[0]))
    assert all(torch.equal(a, b) for a, b in zip(before[:4], after[:4], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(moments[:4], left[:4], strict=True))
    assert torch.equal(after[4], torch.from_numpy(rng.uniform(-(10**-0.5), 10**-0.5, (4, 10))))
    assert torch.equal(after[5], torch.from_numpy(rng.uniform(-(10**-0.5), 10**-0.5, 4)))
    assert left[4].abs().max() == left[5].abs().max() == 0
    assert (made.state.units[-1].clock[0] == 10).all()
    assert (made.state.units[0].clock[0] == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(neighbour, helpers.live_parameters(made, 1), strict=True))
    with pytest.raises(InvalidEdit, match="throws away"):
        made.edit({0: Edit(rewind="head", recycle=(1, 1), insertion="zero_out")}, helpers.probe(made))
    made.edit({0: Edit(rewind="head", recycle=(1, 1), insertion="fresh")}, helpers.probe(made))


def test_redo_recycles_exactly_the_dormant_units_every_thousand_updates():
    life = Lifetime(
        find("PermutedDigits-small-v0", tasks=2, updates=1300), EpisodeSettings(learner=LearnerSettings((64, 64)))
    )
    codec, agent = Codec(life), ReDo()
    agent.reset(codec.spec, 0)
    life.begin({0: np.random.default_rng(0)})
    info, seen = codec.info(0), []
    while not life.over[0]:
        _, plan = codec.decode(0, agent.act(codec.observe(0), info))
        dormant = (life.diagnosis.dormant[0] * info["live"]).round().astype(int).tolist()
        before = life.population.state.ids[0]
        outcome = life.step({0: plan})[0]
        seen.append((outcome.start, list(outcome.newborns), dormant))
        assert life.population.state.ids[0] - before == sum(outcome.newborns)
        info = codec.info(0, plan, outcome)
    assert [start for start, *_ in seen] == [0, 1000, 1300, 2000]
    assert [newborns for _, newborns, _ in seen] == [[0, 0], seen[1][2], [0, 0], seen[3][2]]
    assert sum(seen[1][1]) > 0


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: L2(-1.0), "lam=-1"),
        (lambda: L2Init(float("nan")), "lam=nan"),
        (lambda: ShrinkPerturb(p=2.0), "p=2"),
        (lambda: Dropout(1.0), "at least 0 and below 1"),
        (lambda: Spectral(k=0), "k=0"),
        (lambda: ContinualBackprop(eta=1.0), "eta=1"),
        (lambda: ContinualBackprop(maturity=-1), "maturity=-1"),
        (lambda: ContinuousCBP(every=0), "every=0"),
        (lambda: UPGD(beta=1.0), "beta=1"),
        (lambda: UPGD(beta=None), "beta=None; give a number of at least 0 and below 1"),
        (lambda: LearnerSettings(maintenance=(NaP(),)), "norm='layer'"),
        (lambda: LearnerSettings(maintenance=(L2(), L2(1.0))), "at most once"),
        (lambda: LearnerSettings(maintenance=L2()), "give a tuple of rules"),
        (lambda: LearnerSettings(maintenance=(L2,)), "give a tuple of rules"),
    ],
)
def test_impossible_settings_are_refused(make, what):
    with pytest.raises(InvalidSetting, match=what):
        make()
