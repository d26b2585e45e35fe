"""What several test files build: small populations, plain copies of their learners, comparisons of whole states."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from plastic_env import LearnerSettings, Population
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.state import UNIT_FIELDS, State

INPUTS, CLASSES = 7, 4


class SmoothLeaky(nn.Module):
    """Written with autograd, from the paper's formula."""

    def forward(self, z: Tensor) -> Tensor:
        rule = ACTIVATIONS["smooth_leaky"]  # whose r is the mean of the randomised one's
        return rule.r * z + (1 - rule.r) * z * torch.sigmoid(rule.c * z / rule.p)


PLAIN = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "smooth_leaky": SmoothLeaky, "tanh": nn.Tanh, "gelu": nn.GELU}
PLAIN |= {"random_smooth_leaky": SmoothLeaky}  # when nothing is trained


def population(
    n: int = 3, hidden: tuple[int, ...] = (12, 10), live: float = 1.0, seed: int = 0, **settings
) -> Population:
    made = Population(n, INPUTS, CLASSES, LearnerSettings(hidden=hidden, live=live, **settings), dtype=torch.float64)
    made.begin({member: np.random.default_rng([seed, member]) for member in range(n)})
    return made


def batches(k: int, n: int, size: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random data: x [k, n, size, INPUTS], y [k, n, size]."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(k, n, size, INPUTS)))
    return x, torch.from_numpy(rng.integers(CLASSES, size=(k, n, size)))


def probe(population: Population, seed: int = 99, members: list[int] | None = None):
    members = list(range(len(population))) if members is None else members
    x, y = batches(1, len(members), 16, seed)
    return population.probe(x[0], y[0], members)


def live_parameters(population: Population, member: int, flat: Tensor | None = None) -> list[Tensor]:
    """Weight, bias, weight, bias, ... of one learner, cut to its live units; copies."""
    layers = population.layers() if flat is None else population.state.layout.views(flat)
    widths, found = population.widths(member), []
    for at, layer in enumerate(layers):
        found.append(layer.weight[member, : widths[at + 1], : widths[at]].clone())
        found.append(layer.bias[member, 0, : widths[at + 1]].clone())
    return found


def plain_network(population: Population, member: int) -> nn.Sequential:
    """A torch.nn network of one learner's live units."""
    widths = population.widths(member)
    activation = PLAIN[population.settings.activation]
    modules: list[nn.Module] = []
    for below, above in pairwise(widths):
        modules += [nn.Linear(below, above, dtype=torch.float64), activation()]
    network = nn.Sequential(*modules[:-1])
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), live_parameters(population, member), strict=True):
            parameter.copy_(value)
    return network


def fingerprint(population: Population) -> list:
    """Everything that a population is, as plain values that compare with ==."""
    state: State = population.state
    tensors = [state.weights, *state.moments, *(t for layer in state.initial for t in layer)]
    counters = [state.updates, state.restarted, state.ids, state.cohorts, state.frozen]
    units = [[[getattr(u, name).tolist() for name in UNIT_FIELDS] for u in member] for member in state.units]
    return [
        [(tuple(t.shape), t.numpy().tobytes()) for t in tensors],
        [c.tolist() for c in counters],
        units,
        state.layout.widths,
        [rng.bit_generator.state for rng in population.rngs],
        [generator.get_state().tolist() for generator in population.noise],
    ]
