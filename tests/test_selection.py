"""Selection rules against hand-worked numbers, autograd and Torch-Pruning."""

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_env import SGD, Edit
from plastic_env.errors import InvalidEdit
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.parameters import Layer
from plastic_env.learner.selection import GROW_RULES, PRUNE_RULES
from plastic_env.learner.stages import DenseStage, Mode
from plastic_env.learner.views import CandidateView


def view(activation="relu"):
    """One learner, two samples, three units, two inputs, one unit above."""
    tensor = lambda values: torch.tensor(values, dtype=torch.float64)[None]  # noqa: E731
    return View(
        stage=DenseStage(3),
        upper=DenseStage(1),
        mode=Mode(ACTIVATIONS[activation]),
        below=tensor([[1.0, 2.0], [3.0, -1.0]]),
        above=tensor([[0.5], [-1.0]]),
        into=Layer(tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), tensor([[0.0, 0.0, 1.0]])),
        wire=lambda: tensor([[2.0, -3.0, 1.0]]),
        places=np.array([[0, 1, 2]]),
        rngs=[np.random.default_rng(0)],
    )


class View(CandidateView):
    """With ids, as live units have them."""

    ids = torch.tensor([[5, 9, 7]])
    exists = torch.ones(1, 3, dtype=torch.bool)


# z = [[1, 2, -2], [3, -1, -1]], h = [[1, 2, 0], [3, 0, 0]]; dL/dz = [[1, -1.5, 0], [-2, 0, 0]]
BY_HAND = {
    "activation": [1, 0.5, 0],
    "gradient": [1.5, 0.75, 0],
    # unit 0: incoming gradient [1 - 6, 2 + 2], bias gradient -1, outgoing gradient .5 - 3
    "gradmax": [(25 + 16 + 1 + 6.25) ** 0.5, (2.25 + 9 + 2.25 + 1) ** 0.5, 0],
    "magnitude": [1, 1, 2],
    "taylor": [5, 3, 0],
    "utility": [4, 3, 0],
    "redo": [2, 1, 0],
    "dead": [1, 0.5, 0],
    "oldest": [5, 9, 7],
    "youngest": [-5, -9, -7],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_rules_by_hand(name):
    rule = {**GROW_RULES, **PRUNE_RULES}[name]
    np.testing.assert_allclose(rule(view())[0], BY_HAND[name])


def test_every_rule_is_checked_by_hand():
    assert {*GROW_RULES, *PRUNE_RULES} == {*BY_HAND, "random"}


def test_utility_equals_continual_backprops_in_the_limit_of_a_constant_batch():
    """Its running mean u <- .99 u + .01 |h| sum|w|, corrected by 1 - .99^age, of a constant is that constant."""
    instant, mean = PRUNE_RULES["utility"](view())[0], torch.zeros(3)
    for age in range(1, 8):
        mean = 0.99 * mean + 0.01 * instant
        torch.testing.assert_close(mean / (1 - 0.99**age), instant)


@pytest.mark.parametrize("name", ["magnitude", "taylor"])
def test_ranking_equals_torch_prunings(name):
    torch_pruning = pytest.importorskip("torch_pruning")
    population = helpers.population(1, hidden=(12, 10), optimizer=SGD(0.1))
    population.train(*helpers.batches(30, 1))
    network = helpers.plain_network(population, 0)
    x, y = helpers.batches(1, 1, 16, seed=99)
    F.cross_entropy(network(x[0, 0]), y[0, 0]).backward()
    graph = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=x[0, 0])
    layer = network[0]
    group = graph.get_pruning_group(layer, torch_pruning.prune_linear_out_channels, idxs=list(range(12)))
    importance = {
        "magnitude": torch_pruning.importance.GroupMagnitudeImportance(p=1, group_reduction="first", normalizer=None),
        "taylor": torch_pruning.importance.GroupTaylorImportance(
            group_reduction="first", normalizer=None, multivariable=True, bias=False
        ),
    }[name]
    theirs = np.argsort(importance(group).detach().numpy(), kind="stable")
    removed = []
    for units in range(1, 12):
        copy = helpers.population(1, hidden=(12, 10), optimizer=SGD(0.1))
        copy.train(*helpers.batches(30, 1))
        copy.edit({0: Edit(prune=(units, 0), prune_rule=name)}, helpers.probe(copy))
        gone = set(range(12)) - set(copy.state.units_of(0)[0].slot.tolist())
        removed += sorted(gone - set(removed))
    np.testing.assert_array_equal(removed, theirs[:11])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_signals_of_dormant_units_are_those_they_would_have_if_they_were_live_without_output(activation):
    """A candidate's gradients, by autograd, at the moment of its insertion with a gate of 0 behind it."""
    population = helpers.population(1, live=0.5, activation=activation, optimizer=SGD(0.1))
    population.train(*helpers.batches(20, 1))
    probe, seen = helpers.probe(population), {}

    def spy(layer):
        seen.update(
            h=layer.activation,
            dz=layer.gradient,
            win=layer.incoming_gradient,
            wout=layer.outgoing_gradient.mT.flatten(2),
        )
        return layer.ids

    weights, slots = helpers.live_parameters(population, 0), population.state.initial
    population.edit({0: Edit(grow=(1, 0), grow_rule=spy)}, probe)
    x, y = helpers.batches(1, 1, 16, seed=99)
    outputs = 2 if activation == "crelu" else 1
    incoming = slots[0].weight[0, 6:].clone().requires_grad_()
    outgoing = slots[1].weight[0, :5, 6 * outputs :].clone().requires_grad_()
    function = helpers.PLAIN[activation]()
    h = function(x[0, 0] @ weights[0].T + weights[1])
    z = x[0, 0] @ incoming.T + slots[0].bias[0, :, 6:]
    candidates = function(z) @ outgoing.T
    above = (
        h @ weights[2].T + weights[3] + candidates - candidates.detach()
    )  # their value adds nothing, their gradient flows
    loss = F.cross_entropy(function(above) @ weights[4].T + weights[5], y[0, 0])
    dz, win, wout = torch.autograd.grad(loss, [z, incoming, outgoing])
    for mine, theirs in (("dz", dz), ("win", win), ("wout", wout)):
        torch.testing.assert_close(
            seen[mine][0][..., : theirs.shape[-1]][: theirs.shape[0]], theirs, rtol=0, atol=1e-12
        )


def test_a_users_function_is_a_rule():
    population = helpers.population(1, live=0.5)
    population.edit({0: Edit(grow=(2, 0), grow_rule=lambda layer: torch.arange(6.0)[None])}, helpers.probe(population))
    assert population.state.units_of(0)[0].slot[6:].tolist() == [11, 10]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda layer: torch.zeros(3), r"returned \(3,\); it must return a tensor \(1, 6\)"),
        (lambda layer: "high", "returned str"),
        (lambda layer: torch.full((1, 6), float("nan")), "returned NaN"),
    ],
)
def test_a_function_that_returns_something_else_is_refused(rule, message):
    population = helpers.population(1, live=0.5)
    before = helpers.fingerprint(population)
    with pytest.raises(InvalidEdit, match=message):
        population.edit({0: Edit(grow=(2, 0), grow_rule=rule)}, helpers.probe(population))
    assert helpers.fingerprint(population) == before
