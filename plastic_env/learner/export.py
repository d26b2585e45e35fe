"""Export: a learner's live units as a plain torch.nn network, free of everything that editing needs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from plastic_env.errors import InvalidSetting
from plastic_env.files import write_atomically
from plastic_env.learner.activations import GELU, Activation, LeakyReLU, RandomSmoothLeaky, ReLU, SmoothLeaky, Tanh
from plastic_env.learner.population import Population


class SmoothLeakyModule(nn.Module):
    """r z + (1 - r) z sigmoid(c z / p), which torch.nn lacks."""

    def __init__(self, rule: SmoothLeaky) -> None:
        super().__init__()
        self.r, self.slope = rule.r, rule.c / rule.p

    def forward(self, z: Tensor) -> Tensor:
        """The activation, elementwise."""
        return z * (self.r + (1 - self.r) * torch.sigmoid(self.slope * z))


def to_module(population: Population, member: int = 0) -> nn.Sequential:
    """Linear layers and activations of one learner's live units: [batch, inputs] to logits [batch, classes].

    Weights are copied; the module goes its own way from here.

    Raises:
        InvalidSetting: an activation that has no module.
    """
    widths, like = population.widths(member), population.state.weights
    modules: list[nn.Module] = []
    for at in range(len(widths) - 1):
        linear = nn.Linear(widths[at], widths[at + 1], device=like.device, dtype=like.dtype)
        weight, bias = population.state.layer(like, member, at)
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        modules += [linear, _activation_module(population.activation)]
    return nn.Sequential(*modules[:-1])


def save_module(module: nn.Module, path: Path, inputs: int) -> None:
    """Write an exported network for any batch size to a file that `torch.export.load(path).module()` opens
    wherever torch is, plastic_env or not.

    Raises:
        FileError: the file can't be written.
    """
    like = next(module.parameters())
    example = torch.zeros(2, inputs, device=like.device, dtype=like.dtype)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))

    def write(unfinished: Path) -> None:
        with unfinished.open("wb") as file:
            torch.export.save(program, file)

    write_atomically(path, write)


def _activation_module(rule: Activation) -> nn.Module:
    match rule:
        case ReLU():
            return nn.ReLU()
        case LeakyReLU(slope=slope):
            return nn.LeakyReLU(slope)
        case Tanh():
            return nn.Tanh()
        case GELU():
            return nn.GELU()
        case SmoothLeaky():
            return SmoothLeakyModule(rule)
        case RandomSmoothLeaky():  # as it is when nothing is trained
            return SmoothLeakyModule(rule.mean)
    raise InvalidSetting(f"The activation {rule!r} has no module to be exported to.")
