"""What several test files build: small populations, plain copies of their learners, comparisons of whole states."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plastic_env import Conv, Dense, LearnerSettings, Population
from plastic_env.learner.activations import ACTIVATIONS, RandomSmoothLeaky
from plastic_env.learner.network import Shape
from plastic_env.learner.state import UNIT_FIELDS, State
from plastic_env.scenarios import SCENARIOS
from plastic_env.scenarios.mixed import MixedShifts
from plastic_env.scenarios.noisy_labels import NoisyLabels
from plastic_env.scenarios.warm_start import WarmStart

INPUTS, CLASSES = 7, 4
PICTURE = (2, 6, 6)  # channels, height, width


class SmoothLeaky(nn.Module):
    """Written with autograd, from the paper's formula."""

    def __init__(self, name: str = "smooth_leaky") -> None:
        super().__init__()
        rule = ACTIVATIONS[name]
        self.rule = rule.mean if isinstance(rule, RandomSmoothLeaky) else rule

    def forward(self, z: Tensor) -> Tensor:
        rule = self.rule
        return rule.r * z + (1 - rule.r) * z * torch.sigmoid(rule.c * z / rule.p)


class CReLU(nn.Module):
    """Features or channels 0, 0, 1, 1, ...: of each unit the positive and the negative part."""

    def forward(self, z: Tensor) -> Tensor:
        both = torch.relu(z).repeat_interleave(2, 1)
        both[:, 1::2] = torch.relu(-z)
        return both


PLAIN = {
    "relu": nn.ReLU,
    "crelu": CReLU,
    "leaky_relu": nn.LeakyReLU,
    "smooth_leaky": SmoothLeaky,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}
# when nothing is trained
PLAIN |= {name: partial(SmoothLeaky, name) for name, f in ACTIVATIONS.items() if isinstance(f, RandomSmoothLeaky)}


def short(name: str) -> dict:
    """Settings with which a scenario has 60 updates, in three tasks of 20 unless its family does otherwise, on data
    that are always there."""
    scenario = SCENARIOS[name]
    known = {field.name for field in fields(scenario)}
    settings = {"tasks": 3, "updates": 20, "images": 160, "data": "digit_pairs", "batch_size": 16}
    if isinstance(scenario, MixedShifts):
        settings |= {"updates": 60, "shortest": 15, "longest": 25}
    if isinstance(scenario, NoisyLabels):
        settings |= {"noise": (0.5, 0.2, 0.0)}
    if isinstance(scenario, WarmStart):
        settings |= {"epochs": 4}
    if getattr(scenario, "data", None) == "digits":
        settings["data"] = "digits"
    return {key: value for key, value in settings.items() if key in known}


def population(
    n: int = 3, hidden: tuple = (12, 10), live: float = 1.0, seed: int = 0, inputs: Shape = INPUTS, **settings
) -> Population:
    made = Population(n, inputs, CLASSES, LearnerSettings(hidden=hidden, live=live, **settings), dtype=torch.float64)
    made.begin({member: np.random.default_rng([seed, member]) for member in range(n)})
    return made


def batches(k: int, n: int, size: int = 5, seed: int = 0, inputs: int = INPUTS) -> tuple[Tensor, Tensor]:
    """Random data: x [k, n, size, inputs], y [k, n, size]."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(k, n, size, inputs)))
    return x, torch.from_numpy(rng.integers(CLASSES, size=(k, n, size)))


def probe(population: Population, seed: int = 99, members: list[int] | None = None):
    members = list(range(len(population))) if members is None else members
    x, y = batches(1, len(members), 16, seed, population.network.inputs)
    return population.probe(x[0], y[0], members)


def live_parameters(population: Population, member: int, flat: Tensor | None = None) -> list[Tensor]:
    """Weight and bias, with normalisation also gain and shift, layer by layer, of one learner's live units; copies."""
    state, found = population.state, []
    for at in range(len(state.initial)):
        weight, vectors = state.layer(state.weights if flat is None else flat, member, at)
        found += [weight.flatten(1).clone(), *(row.clone() for row in vectors[:3])]
    return found


def plain_network(population: Population, member: int) -> nn.Sequential:
    """A torch.nn network of one learner's live units."""
    settings, widths = population.settings, population.widths(member)[1:]
    function = PLAIN[settings.activation]
    modules: list[nn.Module] = [] if population.network.image is None else [nn.Unflatten(1, PICTURE)]
    outputs = population.network.input_units
    for spec, units in zip(settings.layers, widths, strict=False):
        if isinstance(spec, Conv):
            modules.append(nn.Conv2d(outputs, units, spec.kernel, padding="same", dtype=torch.float64))
        else:
            modules += [*flattened(modules), nn.LazyLinear(units, dtype=torch.float64)]
        modules += NORMED[settings.norm, type(spec)](units)
        modules += [function(), *([nn.MaxPool2d(spec.pool)] if isinstance(spec, Conv) else [])]
        outputs = units * (2 if function is CReLU else 1)
    network = nn.Sequential(*modules, *flattened(modules), nn.LazyLinear(widths[-1], dtype=torch.float64))
    with torch.no_grad():
        network.eval()(torch.zeros(1, population.network.inputs, dtype=torch.float64))  # sizes of lazy layers
        for parameter, value in zip(network.parameters(), live_parameters(population, member), strict=True):
            parameter.copy_(value.view_as(parameter))
    return network.train()


def flattened(modules: list[nn.Module]) -> list[nn.Module]:
    return [nn.Flatten()] if modules and isinstance(modules[-1], nn.MaxPool2d) else []


NORMED = {
    ("none", Dense): lambda units: [],
    ("none", Conv): lambda units: [],
    ("layer", Dense): lambda units: [nn.LayerNorm(units, dtype=torch.float64)],
    ("layer", Conv): lambda units: [nn.GroupNorm(1, units, dtype=torch.float64)],
    ("batch", Dense): lambda units: [nn.BatchNorm1d(units, dtype=torch.float64)],
    ("batch", Conv): lambda units: [nn.BatchNorm2d(units, dtype=torch.float64)],
}


def train_plain(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor
) -> tuple[list[float], list[float]]:
    """One update per batch; returns each batch's loss and accuracy before it."""
    losses, hits = [], []
    for inputs, labels in zip(x, y, strict=True):
        logits = network(inputs)
        loss = F.cross_entropy(logits, labels)
        losses.append(loss.item())
        hits.append((logits.argmax(-1) == labels).double().mean().item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses, hits


def assert_equal_to(population: Population, member: int, network: nn.Module) -> None:
    for mine, theirs in zip(live_parameters(population, member), network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach().reshape(mine.shape), rtol=0, atol=1e-8)


def parameter_ages(population: Population, member: int) -> list[Tensor]:
    """Updates since the younger of each parameter's two units was born, for weight, bias, weight, ..."""
    now = population.state.updates[member]
    axes = [np.zeros(INPUTS), *(u.born for u in population.state.units_of(member))]
    ages = []
    for below, above in pairwise(axes):
        ages += [now - np.maximum(above[:, None], below[None, :]), now - above]
    return [torch.from_numpy(np.asarray(age, dtype=np.float64)) for age in ages]


def check_padding(population: Population, member: int, flat: Tensor) -> None:
    """Beyond the live units everything is exactly zero, and all of it is finite."""
    widths, blocks = population.widths(member), population.network.blocks
    for at, layer in enumerate(population.state.layout.views(flat)):
        weight, vectors = layer.blocks(blocks[at])[member], layer.vectors[member]
        assert torch.isfinite(weight).all()
        assert torch.isfinite(vectors).all()
        assert weight[widths[at + 1] :].count_nonzero() == weight[:, widths[at] :].count_nonzero() == 0
        assert vectors[:, widths[at + 1] :].count_nonzero() == 0


def fingerprint(population: Population) -> list:
    """Everything that a population is, as plain values that compare with ==."""
    state: State = population.state
    tensors = [state.weights, *state.moments, *state.unit_memory, *(t for layer in state.initial for t in layer)]
    counters = [state.updates, state.restarted, state.ids, state.cohorts, state.frozen, state.due_units]
    units = [[getattr(layer, name).tolist() for name in UNIT_FIELDS] for layer in state.units]
    return [
        [(tuple(t.shape), t.numpy().tobytes()) for t in tensors],
        [c.tolist() for c in counters],
        units,
        state.layout.widths,
        [rng.bit_generator.state for rng in population.rngs],
        [generator.get_state().tolist() for generator in population.noise_rngs],
    ]
