"""GradMax insertion against gromo's GradMax, and where gromo's TINY gives the same newborns.

Let X feed the layer, H be what it gives, and G the gradient of the loss at the next pre-activation. GradMax's outgoing
weights are top right singular vectors of [X, 1]^T G. TINY's (Verbockhaven et al. 2024, arXiv 2405.19816) are those of
S^-1/2 [X, 1]^T V: S is the second moment of [X, 1], and V what the layer above can't do about G by itself, the residual
of regressing G on [H, 1]. So they are GradMax's for whitened X and residual gradients. (TINY's incoming weights aren't
0, and its weights have other norms; both are left out here.)
"""

from itertools import zip_longest

import helpers
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import subspace_angles
from torch import nn
from torch.autograd.functional import hessian, jacobian

from plastic_env import SGD, Edit
from plastic_env.learner.insertion import GradMax

pytest.importorskip("gromo")
from gromo.modules.linear_growing_module import LinearGrowingModule

# as the documentation of gromo's compute_optimal_updates has them
GRADMAX = {
    "compute_delta": False,
    "use_covariance": False,
    "alpha_zero": True,
    "use_projection": False,
    "ignore_singular_values": True,
}
TINY = {"compute_delta": False, "use_covariance": True, "use_projection": True}
SCALE = 0.5


def trained(hidden=(12, 10), activation="tanh"):
    population = helpers.population(1, hidden=hidden, live=0.5, activation=activation, optimizer=SGD(0.1))
    population.train(*helpers.batches(25, 1))
    return population


def data(size=64):
    x, y = helpers.batches(1, 1, size, seed=99)
    return x[0], y[0]


def with_ones(x):
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


def whitened(x):
    """An affine function of x such that [x, 1]^T [x, 1] / samples is the identity."""
    return torch.linalg.qr(x - x.mean(0)).Q * len(x) ** 0.5


def ours(population, layer, k, probe):
    """Incoming weights, biases and outgoing weights of k newborns."""
    old = population.live(0)[layer]
    grow = tuple(k * (at == layer) for at in range(len(population.capacity)))
    population.edit({0: Edit(grow=grow, grow_rule="random", insertion=GradMax(scale=SCALE))}, probe)
    incoming, bias, outgoing = helpers.live_parameters(population, 0)[2 * layer : 2 * layer + 3]
    return incoming[old:], bias[old:], outgoing[:, old:]


def gromos(population, layer, k, x, y, rule):
    network, modules = helpers.plain_network(population, 0), []
    for linear, function in zip_longest(network[::2], network[1::2], fillvalue=nn.Identity()):
        module = LinearGrowingModule(
            linear.in_features,
            linear.out_features,
            use_bias=True,  # of the layer below: gives X and H their column of ones, as our rule does
            post_layer_function=function,
            previous_module=modules[-1] if modules else None,
            device=torch.device("cpu"),  # else the GPU where there is one
        )
        module.layer = linear
        modules.append(module)
    below, above = modules[layer : layer + 2]
    above.init_computation()
    logits = x[0]
    for module in modules:
        logits = module(logits)
    F.cross_entropy(logits, y[0]).backward()
    above.update_computation()  # averages over samples, though the loss has done it already; so does our rule
    # Singular values below the threshold are dropped, whatever the scale of the loss; by default those below 1e-3,
    # which after two divisions by the number of samples says little. And the default dtype is float32.
    above.compute_optimal_updates(maximum_added_neurons=k, statistical_threshold=0, dtype=torch.float64, **rule)
    above.normalize_optimal_updates(normalization_type="gradmax_normalization", gradmax_scale=SCALE)
    incoming, outgoing = below.extended_output_layer, above.extended_input_layer
    return incoming.weight.detach(), incoming.bias.detach(), outgoing.weight.detach()


def largest_angle(one, other):
    """Between the spans of the columns."""
    assert one.shape == other.shape
    return subspace_angles(one.numpy(), other.numpy()).max()


def assert_same_directions(one, other):
    assert largest_angle(one, other) < 1e-8
    signs = (one * other).sum(0).sign()  # arbitrary, and gromo's matrix is minus ours
    torch.testing.assert_close(one, signs * other, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "smooth_leaky"])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradmax_equals_gromos(k, layer, activation):
    population = trained(activation=activation)
    x, y = data()
    *their_inputs, theirs = gromos(population, layer, k, x, y, GRADMAX)
    *our_inputs, outgoing = ours(population, layer, k, population.probe(x, y))
    torch.testing.assert_close(our_inputs, their_inputs, rtol=0, atol=0)
    assert_same_directions(outgoing, theirs)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradmax_for_whitened_inputs_and_residual_gradients_equals_gromos_tiny(k, layer):
    population = trained()
    x, y = data()
    *_, theirs = gromos(population, layer, k, x, y, TINY)
    probe, (feeding, units, above) = population.probe(x, y), population.widths(0)[layer : layer + 3]
    inputs = probe.inputs[layer][0, :, :feeding]
    given = with_ones(probe.inputs[layer + 1][0, :, :units])
    gradient = probe.deltas[layer + 1][0, :, :above]
    gradient -= given @ torch.linalg.lstsq(given, gradient).solution
    inputs.copy_(whitened(inputs))
    *_, outgoing = ours(population, layer, k, probe)
    assert_same_directions(outgoing, theirs)


@pytest.mark.parametrize("k", [1, 2])  # of 3 directions: the gradient at 4 logits sums to 0
@pytest.mark.parametrize("stationary", [False, True])
@pytest.mark.parametrize("white", [False, True])
def test_gradmax_equals_gromos_tiny_only_for_white_inputs_below_a_stationary_layer(white, stationary, k):
    """Then S is the identity, and the gradient of the weights and biases above, [H, 1]^T G, is 0: V is G."""
    population = trained(hidden=(12,))
    x, y = data(200)
    x = whitened(x[0])[None] if white else x.cumsum(-1)
    if stationary:
        fit_head(population, x, y)
    *_, theirs = gromos(population, 0, k, x, y, TINY)
    *_, outgoing = ours(population, 0, k, population.probe(x, y))
    angle = largest_angle(outgoing, theirs)
    assert angle < 1e-8 if white and stationary else angle > 0.1


def fit_head(population, x, y):
    """Newton's method on the last layer."""
    given = with_ones(population.probe(x, y).inputs[-1])[0]
    head = given.new_zeros(given.shape[1], helpers.CLASSES)

    def loss(head):
        return F.cross_entropy(given @ head, y[0])

    for _ in range(8):
        slope, curvature = jacobian(loss, head).ravel(), hessian(loss, head).reshape(head.numel(), head.numel())
        step = torch.linalg.pinv(curvature, rtol=1e-10, hermitian=True) @ slope  # adding to all logits changes nothing
        head = head - step.view_as(head)
    weight, bias = population.layers()[-1]
    weight[0], bias[0, 0] = head[:-1].T, head[-1]
