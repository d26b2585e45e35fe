"""Convolutions, normalisation and CReLU: whole populations against plain torch.nn networks, through edits."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import SGD, Adam, Conv, Dense, Edit, EpisodeSettings, LearnerSettings, Lifetime, Population
from plastic_env.errors import InvalidData, InvalidSetting
from plastic_env.learner.compute import forward_macs, training_macs
from plastic_env.learner.export import to_module
from plastic_env.learner.insertion import INSERTIONS
from plastic_env.learner.network import Network
from plastic_env.learner.probing import diagnose
from plastic_env.learner.scoring import candidate_view
from plastic_env.learner.selection import GROW_RULES, PRUNE_RULES
from plastic_env.learner.transfer import OPTIMIZER_STATES
from plastic_env.learner.views import LiveView
from plastic_env.scenarios import find

TRUNK = (Conv(3, pool=1, editable=False), Conv(4, kernel=5, editable=False), 12, 10)  # the paper's kind: head editable
CHANNELS = (Conv(6), Conv(10, pool=1), 8)  # channels editable, too
NETS = {
    "trunk": {"hidden": TRUNK},
    "channels": {"hidden": CHANNELS},
    "channels, crelu": {"hidden": CHANNELS, "activation": "crelu"},
    "channels, layer norm": {"hidden": CHANNELS, "norm": "layer", "activation": "tanh"},
    "channels, batch norm": {"hidden": CHANNELS, "norm": "batch", "activation": "gelu"},
    "dense, crelu": {"hidden": (12, 10), "activation": "crelu"},
    "dense, layer norm": {"hidden": (12, 10), "norm": "layer"},
    "dense, batch norm": {"hidden": (12, 10), "norm": "batch", "activation": "leaky_relu"},
}
LAYERS = {name: 2 if "dense" in name or name == "trunk" else 3 for name in NETS}


def population(name, n=2, **settings):
    inputs = helpers.INPUTS if "dense" in name else helpers.PICTURE
    return helpers.population(n, inputs=inputs, **{**NETS[name], **settings})


def batches(name, k, n=2, size=5, seed=0):
    return helpers.batches(k, n, size, seed, helpers.INPUTS if "dense" in name else int(np.prod(helpers.PICTURE)))


def widened(name, **settings):
    """Two learners of different widths, trained, grown and pruned."""
    made = population(name, live=0.5, **settings)
    made.train(*batches(name, 20))
    edits = {0: Edit(grow=(2,) * LAYERS[name], grow_rule="random"), 1: Edit(prune=(1,) * LAYERS[name])}
    made.edit(edits, helpers.probe(made))
    return made


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", NETS)
def test_four_learners_equal_four_plain_networks(name, optimizer):
    ours, theirs = {
        "sgd": (SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
        "adam": (Adam(0.003), lambda p: torch.optim.Adam(p, 0.003)),
    }[optimizer]
    made = population(name, 4, optimizer=ours)
    networks = [helpers.plain_network(made, member) for member in range(4)]
    x, y = batches(name, 60, 4)
    made.train(x[:25], y[:25])
    made.train(x[25:], y[25:])
    for member, network in enumerate(networks):
        helpers.train_plain(network, theirs(network.parameters()), x[:, member], y[:, member])
        helpers.assert_equal_to(made, member, network)
        logits = made.predict(x[0, :, :3])[member]
        torch.testing.assert_close(logits, network.eval()(x[0, member, :3]).detach(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NETS)
def test_after_growing_and_pruning_learners_equal_smaller_networks(name):
    """Live units alone count: in sums, in normalisation, in what is trained."""
    made = widened(name, optimizer=SGD(0.05))
    networks = [helpers.plain_network(made, member) for member in range(2)]
    x, y = batches(name, 30, seed=3)
    made.train(x, y)
    for member, network in enumerate(networks):
        helpers.train_plain(network, torch.optim.SGD(network.parameters(), 0.05), x[:, member], y[:, member])
        helpers.assert_equal_to(made, member, network)
        helpers.check_padding(made, member, made.state.weights)


@pytest.mark.parametrize("name", NETS)
def test_probe_measures_what_autograd_says(name):
    made = widened(name)
    probe = helpers.probe(made)
    found, (x, y) = diagnose(probe), batches(name, 1, 2, 16, seed=99)
    for member in range(2):
        network, seen = helpers.plain_network(made, member), {}
        spy_on(network, seen)
        F.cross_entropy(network(x[0, member]), y[0, member]).backward()
        for at, layer in enumerate(made.network.editable):
            units = len(made.state.units_of(member)[layer])
            z_gradient = units_last(seen["z", layer].grad)
            torch.testing.assert_close(probe.deltas[layer][member][:, :units], z_gradient, rtol=0, atol=1e-12)
            h = units_last(seen["h", layer].detach())  # with CReLU, a unit's outputs side by side
            h = h.unflatten(1, (units, -1)).movedim(-1, 1).flatten(0, 1)
            ours = probe.features(layer)[member][:, :units]
            torch.testing.assert_close(ours.sort(0).values, h.sort(0).values, rtol=0, atol=1e-12)
            assert found.dead[member, at] == pytest.approx((h == 0).all(0).double().mean().item())


def spy_on(network, seen):
    """Remember the input and the output of each activation, by hidden layer."""
    kinds = tuple(type(make()) for make in helpers.PLAIN.values())
    functions = [module for module in network if isinstance(module, kinds)]
    for layer, module in enumerate(functions):

        def hook(module, inputs, output, layer=layer):
            seen["h", layer] = output

        module.register_forward_hook(hook)
    linear = [module for module in network if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))]
    for layer, module in enumerate(linear):

        def keep(module, inputs, output, layer=layer):
            output.retain_grad()
            seen["z", layer] = output

        module.register_forward_hook(keep)


def units_last(t):
    return t.movedim(1, -1).flatten(0, -2)


@pytest.mark.parametrize("name", NETS)
def test_every_rule_works_on_every_network(name):
    rules = [("grow_rule", rule) for rule in GROW_RULES] + [("recycle_rule", rule) for rule in PRUNE_RULES]
    rules += [("insertion", rule) for rule in INSERTIONS if rule != "gradmax"]
    rules += [("optimizer_state", rule) for rule in OPTIMIZER_STATES]
    made = population(name, live=0.5, optimizer=Adam(0.003))
    made.train(*batches(name, 10))
    counts = (1,) * LAYERS[name]
    for at, (field, rule) in enumerate(rules):
        edit = Edit(grow=counts, recycle=counts, prune=counts, transfer_bias=at % 2 == 0, **{field: rule})
        made.edit({at % 2: edit}, helpers.probe(made))
        scores = made.train(*batches(name, 2, seed=at))
        assert np.isfinite(scores.loss).all()
        for member in range(2):
            for flat in (made.state.weights, *made.state.moments):
                helpers.check_padding(made, member, flat)


@pytest.mark.parametrize("name", [name for name in NETS if "layer norm" not in name])
def test_candidates_are_seen_as_they_would_be_if_they_were_live(name):
    """The two views of a layer, one computed from slots' initial weights, one read off the probe, agree on a learner
    whose slots are all live and have never been trained."""
    made = population(name)
    probe = helpers.probe(made)
    for layer in made.network.editable:
        views = both_views(made, probe, layer)
        for field in (
            "activation",
            "gradient",
            "fed",
            "incoming",
            "outgoing",
            "incoming_gradient",
            "outgoing_gradient",
        ):
            torch.testing.assert_close(*(getattr(view, field) for view in views), rtol=0, atol=1e-12)
        for rule in {**GROW_RULES, **PRUNE_RULES}.values():
            if rule.__name__ not in ("random", "oldest", "youngest"):
                torch.testing.assert_close(*(rule(view) for view in views), rtol=1e-9, atol=1e-12)


def both_views(made, probe, layer):
    """Live units as candidates, and as they are."""
    everything = np.ones((2, made.network.hidden[layer].slots), dtype=bool)
    candidates = candidate_view(probe, layer, [0, 1], made.rngs, everything)
    return candidates, LiveView(probe, layer, [0, 1], made.rngs)


def test_with_layer_norm_candidates_are_normalised_as_live_units_are():
    made = population("channels, layer norm")
    probe = helpers.probe(made)
    for layer in made.network.editable:
        views = both_views(made, probe, layer)
        torch.testing.assert_close(*(view.activation for view in views), rtol=0, atol=1e-12)


def test_utility_pairs_what_a_channel_feeds_with_the_weights_that_it_meets():
    made = population("channels", 1)
    probe = helpers.probe(made)
    utility = PRUNE_RULES["utility"](LiveView(probe, 1, [0], made.rngs))[0]
    pooled, weight = probe.inputs[2][0], made.layers()[2].weight[0]  # [samples, 10 * 9], [8, 10 * 9]
    by_hand = (pooled.abs().mean(0) * weight.abs().sum(0)).reshape(10, 9).sum(1)
    torch.testing.assert_close(utility, by_hand, rtol=0, atol=1e-12)
    utility = PRUNE_RULES["utility"](LiveView(probe, 0, [0], made.rngs))[0]
    images, kernels = probe.inputs[1][0], made.layers()[1].weight[0].reshape(10, 6, 9)
    torch.testing.assert_close(utility, images.abs().mean((0, 1, 2)) * kernels.abs().sum((0, 2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("insertion", ["zero_out", "net2wider"])
def test_function_is_preserved_unless_the_newborns_move_the_norm(name, insertion):
    made = population(name, live=0.5)
    made.train(*batches(name, 20))
    x, _ = batches(name, 1, 2, 9, seed=7)
    before = made.predict(x[0])
    made.edit({0: Edit(grow=(1,) * LAYERS[name], insertion=insertion)}, helpers.probe(made))
    same = torch.allclose(made.predict(x[0]), before, rtol=0, atol=1e-9)
    assert same == ("layer norm" not in name)


def test_bias_transfer_of_a_constant_channel_is_exact_away_from_the_rim():
    made = population("channels", 1)
    made.train(*batches("channels", 10, 1))
    with torch.no_grad():  # channel 2 of the first layer: 0 times the image plus 1.5
        layer = made.layers()[0]
        layer.weight[0, 2], layer.bias[0, 0, 2] = 0, 1.5
    x, y = batches("channels", 1, 1, 8)
    before = made.probe(x[0], y[0])
    z = pre_activations(made, before.inputs[1][0])
    rule = {"prune_rule": lambda view: (view.incoming != 0).any(-1).double()}
    made.edit({0: Edit(prune=(1, 0, 0), transfer_bias=True, **rule)}, before)
    assert 2 not in made.state.units_of(0)[0].slot
    after = pre_activations(made, made.probe(x[0], y[0]).inputs[1][0])
    torch.testing.assert_close(after[..., 1:-1, 1:-1], z[..., 1:-1, 1:-1], rtol=0, atol=1e-12)


def pre_activations(population, images):
    weight, vectors = population.state.layer(population.state.weights, 0, 1)
    images = images[..., : weight.shape[1]].movedim(-1, 1)
    return F.conv2d(images, weight.unflatten(2, (3, 3)), vectors[0], padding=1)


def test_transplant_copies_a_channels_buffers_in_and_out():
    made = population("channels", 1, live=0.5, optimizer=Adam(0.003))
    made.train(*batches("channels", 20, 1))
    edit = Edit(grow=(0, 2, 0), optimizer_state="transplant", donors=((), (3, 6), ()))
    ids = made.state.units_of(0)[1].id.tolist()
    made.edit({0: edit}, helpers.probe(made))
    donors = [ids.index(3), ids.index(6)]
    for flat in made.state.moments:
        below, above = (made.state.layer(flat, 0, at) for at in (1, 2))
        assert torch.equal(below.weight[5:], below.weight[donors])
        assert torch.equal(below.vectors[:, 5:], below.vectors[:, donors])
        assert torch.equal(above.weight[:, 5:], above.weight[:, donors])
        assert below.weight[5:].abs().max() > 0


@pytest.mark.parametrize("name", NETS)
def test_exported_module_computes_the_same(name):
    made = widened(name)
    made.train(*batches(name, 10))
    x, _ = batches(name, 1, 2, 9, seed=7)
    for member in range(2):
        found = to_module(made, member)(x[0, member])
        torch.testing.assert_close(found, made.predict(x[0])[member], rtol=0, atol=1e-6)


def test_equal_layers_are_equal_however_they_are_written():
    assert LearnerSettings(hidden=(8, Dense(6))) == LearnerSettings(hidden=[Dense(8), 6])


def test_macs_of_the_papers_networks_equal_a_hand_count():
    mlp = Network.of(LearnerSettings(hidden=(256, 256)), 784, 10)
    assert forward_macs(mlp, (784, 256, 256, 10)) == 200_704 + 65_536 + 2_560
    trunk = (Conv(32, editable=False), Conv(64, editable=False))
    convnet = Network.of(LearnerSettings(hidden=(*trunk, 512, 512, 256)), (3, 32, 32), 10)
    assert convnet.editable == (2, 3, 4)
    conv = 3 * 9 * 32 * 1024, 32 * 9 * 64 * 256
    assert conv == (884_736, 4_718_592)
    dense = 4096 * 512 + 512 * 512 + 512 * 256 + 256 * 10
    assert forward_macs(convnet, (3, 32, 64, 512, 512, 256, 10)) == sum(conv) + dense
    assert training_macs(convnet, (3, 32, 64, 512, 512, 256, 10)) == 3 * (sum(conv) + dense) - conv[0]
    narrow = 4096 * 100 + 100 * 50 + 50 * 20 + 20 * 10
    assert forward_macs(convnet, (3, 32, 64, 100, 50, 20, 10)) == sum(conv) + narrow


def test_the_trunk_takes_no_edits_and_is_rewound_and_reset_with_the_rest():
    made = population("trunk", live=0.5)
    assert made.capacity == (12, 10)
    assert made.live(0) == (6, 5)
    assert made.widths(0) == (2, 3, 4, 6, 5, helpers.CLASSES)
    first = helpers.live_parameters(made, 0)
    made.train(*batches("trunk", 10))
    assert not torch.equal(helpers.live_parameters(made, 0)[0], first[0])
    made.edit({0: Edit(rewind="initial")})
    for mine, theirs in zip(helpers.live_parameters(made, 0), first, strict=True):
        assert torch.equal(mine, theirs)
    made.edit({0: Edit(reset=True)})
    assert not torch.equal(helpers.live_parameters(made, 0)[0], first[0])


@pytest.mark.parametrize("name", ["channels, batch norm", "dense, batch norm"])
def test_running_statistics_travel_with_their_units(name):
    made = population(name, live=0.5)
    made.train(*batches(name, 30))
    _, before = made.state.layer(made.state.weights, 0, 0)
    before = before.clone()
    assert (before[3:] != torch.tensor([[0.0], [1.0]])).all()
    made.edit({0: Edit(grow=(2,) * LAYERS[name], prune=(1,) * LAYERS[name])}, helpers.probe(made))
    _, after = made.state.layer(made.state.weights, 0, 0)
    kept = after.shape[1] - 2
    for column in after[:, :kept].T:
        assert (column == before.T).all(1).any()
    assert (after[1:, kept:] == torch.tensor([1.0, 0, 0, 1])[:, None]).all()  # gain, shift, mean, variance of newborns


@pytest.mark.parametrize(
    ("hidden", "inputs", "message"),
    [
        ((Conv(4), 8), 36, "needs images"),
        ((8, Conv(4)), (1, 6, 6), "put the convolutions first"),
        ((Conv(4), Conv(4), Conv(4), 8), (1, 6, 6), "away; use fewer poolings"),
    ],
)
def test_layers_that_do_not_fit_are_refused(hidden, inputs, message):
    with pytest.raises(InvalidSetting, match=message):
        Population(1, inputs, 3, LearnerSettings(hidden=hidden))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(0), "channels=0"),
        (lambda: Conv(4, kernel=2), "even kernel"),
        (lambda: Dense(2.5), "units=2.5"),
        (lambda: Conv(4, editable="no"), "editable='no'"),
        (lambda: LearnerSettings(optimizer=Adam), r"give plastic_env.Adam\(...\)"),
        (lambda: LearnerSettings(hidden=(Dense(4, editable=False),)), "at least one layer must be editable"),
        (lambda: LearnerSettings(norm="group"), "none, layer, batch"),
    ],
)
def test_impossible_layers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_batch_normalisation_of_one_sample_is_refused():
    made = population("dense, batch norm")
    with pytest.raises(InvalidData, match="can't take a variance"):
        made.train(*batches("dense, batch norm", 3, size=1))
    conv = population("channels, batch norm")  # its last layer is dense
    with pytest.raises(InvalidData, match="can't take a variance"):
        conv.train(*batches("channels, batch norm", 3, size=1))
    assert made.state.updates.tolist() == [0, 0]


def test_channels_of_a_single_pixel_can_be_grown():
    hidden = (Conv(4, pool=2), Conv(4, pool=3), Conv(8, pool=1), 8)
    made = helpers.population(1, inputs=helpers.PICTURE, hidden=hidden, live=0.5)
    made.edit({0: Edit(grow=(0, 0, 2, 0))}, helpers.probe(made))
    assert made.live(0) == (2, 2, 6, 4)


def test_an_episode_that_batch_normalisation_cannot_live_is_refused_at_once():
    for sizes in ({"batch_size": 1}, {"probe_samples": 1}):
        scenario = find("PermutedDigits-small-v0", tasks=2, updates=20, batch_size=sizes.get("batch_size", 16))
        settings = EpisodeSettings(LearnerSettings(norm="batch"), probe_samples=sizes.get("probe_samples", 64))
        with pytest.raises(InvalidSetting, match="at least 2 in each"):
            Lifetime(scenario, settings)


def test_layers_can_be_written_down():
    written = LearnerSettings(("fixed_conv4", "conv6_kernel5_pool1", "dense8", "fixed_dense9", 10))
    assert written.hidden == (Conv(4, editable=False), Conv(6, kernel=5, pool=1), 8, Dense(9, editable=False), 10)


@pytest.mark.parametrize("layer", ["conv", "conv8_pad1", "dense8_kernel3", "64"])
def test_a_layer_written_otherwise_is_refused(layer):
    with pytest.raises(InvalidSetting, match="fixed_"):
        LearnerSettings((layer,))
