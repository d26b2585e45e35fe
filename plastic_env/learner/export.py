"""Export: a learner's live units as a plain torch.nn network, free of everything that editing needs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from plastic_env.errors import InvalidSetting
from plastic_env.files import write_atomically
from plastic_env.learner.activations import (
    GELU,
    Activation,
    CReLU,
    LeakyReLU,
    RandomSmoothLeaky,
    ReLU,
    SmoothLeaky,
    Tanh,
)
from plastic_env.learner.normalisation import Norm
from plastic_env.learner.parameters import BIAS, GAIN, MEAN, SHIFT, VARIANCE
from plastic_env.learner.population import Population
from plastic_env.learner.stages import ConvStage


class SmoothLeakyModule(nn.Module):
    """r z + (1 - r) z sigmoid(c z / p), which torch.nn lacks."""

    def __init__(self, rule: SmoothLeaky) -> None:
        super().__init__()
        self.r, self.slope = rule.r, rule.c / rule.p

    def forward(self, z: Tensor) -> Tensor:
        """The activation, elementwise, of z [...]."""
        return z * (self.r + (1 - self.r) * torch.sigmoid(self.slope * z))


class CReLUModule(nn.Module):
    """max(0, z) and max(0, -z) of each feature or channel side by side, which torch.nn lacks."""

    def forward(self, z: Tensor) -> Tensor:
        """[batch, units, ...] to [batch, 2 units, ...]."""
        return torch.stack([z, -z], 2).clamp_min(0).flatten(1, 2)


def to_module(population: Population, member: int = 0) -> nn.Sequential:
    """Plain layers of one learner's live units, in evaluation mode: [batch, inputs] to logits [batch, classes].

    Weights are copied; the module goes its own way from here. The samples of convolutional networks are flat too:
    the module's first layer turns them into images.

    Raises:
        InvalidSetting: an activation that has no module.
    """
    network, like = population.network, population.state.weights
    modules: list[nn.Module] = [] if network.image is None else [nn.Unflatten(1, network.image)]
    for at, stage in enumerate(network.stages):
        weight, vectors = population.state.layer(like, member, at)
        units = len(weight)
        linear: nn.Conv2d | nn.Linear
        if isinstance(stage, ConvStage):
            kernel = stage.kernel
            linear = nn.Conv2d(weight[0].numel() // kernel**2, units, kernel, padding=kernel // 2)
        else:
            if at > 0 and isinstance(network.stages[at - 1], ConvStage):
                modules.append(nn.Flatten())
            linear = nn.Linear(weight[0].numel(), units)
        _copy(linear, {"weight": weight, "bias": vectors[BIAS]})
        modules.append(linear)
        if at == len(network.hidden):
            break
        if stage.norm is not None:
            modules.append(_norm_module(stage.norm, vectors, isinstance(stage, ConvStage)))
        modules.append(_activation_module(population.activation))
        if isinstance(stage, ConvStage) and stage.pool > 1:
            modules.append(nn.MaxPool2d(stage.pool))
    return nn.Sequential(*modules).to(like).eval()


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


def _norm_module(norm: Norm, vectors: Tensor, conv: bool) -> nn.Module:
    units = vectors.shape[1]
    made: nn.Module
    if norm.over == "units":
        made = nn.GroupNorm(1, units) if conv else nn.LayerNorm(units)
        values = {}
    else:
        made = nn.BatchNorm2d(units) if conv else nn.BatchNorm1d(units)
        values = {"running_mean": vectors[MEAN], "running_var": vectors[VARIANCE]}
    return _copy(made, {"weight": vectors[GAIN], "bias": vectors[SHIFT]} | values)


def _copy(module: nn.Module, values: dict[str, Tensor]) -> nn.Module:
    """Load parameters and buffers in their own precision."""
    module.to(next(iter(values.values())))
    with torch.no_grad():
        for name, value in values.items():
            target = getattr(module, name)
            target.copy_(value.reshape(target.shape))
    return module


def _activation_module(rule: Activation) -> nn.Module:
    match rule:
        case ReLU():
            return nn.ReLU()
        case CReLU():
            return CReLUModule()
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
