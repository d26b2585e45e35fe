"""A torch network and its optimizer, and one learner of a population that is the same network: read from one, written
to the other."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import NamedTuple

import numpy as np
import torch
from avalanche.models.utils import avalanche_forward
from torch import Tensor, nn

from plastic_env.errors import InvalidSetting
from plastic_env.learner.network import Shape
from plastic_env.learner.optimizers import SGD, Adam, Optimizer
from plastic_env.learner.parameters import BIAS, GAIN, MEAN, SHIFT, VARIANCE, Layer
from plastic_env.learner.population import Population
from plastic_env.learner.stages import ConvStage

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d)
_VECTORS = {"weight": GAIN, "bias": SHIFT, "running_mean": MEAN, "running_var": VARIANCE}  # of normalisations
_CLOSE, _TINY = 1e-3, 1e-6  # what rounding of float32 may come to: of the largest output, and besides
_STATE = {torch.optim.SGD: ("momentum_buffer",), torch.optim.Adam: ("exp_avg", "exp_avg_sq")}

Named = MutableMapping[str, nn.Parameter]


class Place(NamedTuple):
    """One tensor of a module, and where a population's layer keeps it.

    name: of the module in the network, with a dot. attribute: of the module, that holds the tensor. row: of
        `Layer.vectors`, or None for the weights.
    """

    module: nn.Module
    name: str
    attribute: str
    row: int | None

    @property
    def value(self) -> Tensor:
        """The tensor now: weights [out, in, ...] or a vector [out]."""
        found: Tensor = getattr(self.module, self.attribute)
        return found

    def of(self, layer: Layer) -> Tensor:
        """The same numbers in one learner's layer: a view, [out, columns] or [out]."""
        return layer.weight if self.row is None else layer.vectors[self.row]

    def shape(self, numbers: Tensor) -> torch.Size:
        """The shape that the tensor must have to hold a layer's numbers [out, columns] or [out]."""
        if self.row is None and isinstance(self.module, nn.Conv2d):
            kernel = self.module.kernel_size
            return torch.Size((len(numbers), numbers[0].numel() // (kernel[0] * kernel[1]), *kernel))
        return torch.Size((len(numbers), numbers[0].numel())) if self.row is None else numbers.shape


class Mirror:
    """Learner 0 of a population and a network of plain layers with its optimizer.

    Args:
        model: holds the layers of an exported network (`learner.export`) in their order; modules without parameters,
            such as nn.Flatten, may stand anywhere.
        optimizer: torch.optim.SGD or Adam of all of its parameters.
        population: with as many live units.

    Raises:
        InvalidSetting: another network, or another optimizer.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, population: Population) -> None:
        self.optimizer, self.population = optimizer, population
        self.keys = _state_keys(optimizer)
        self.layers = _layers(model)
        self._check()

    def load(self) -> None:
        """Read the network's parameters and their optimizer state into the population."""
        with torch.no_grad():
            for place, target, moments in self._pairs():
                target.copy_(place.value.reshape(target.shape))
                for key, moment in zip(self.keys, moments, strict=False):
                    kept = self.optimizer.state.get(place.value, {}).get(key)
                    moment.copy_(torch.zeros_like(moment) if kept is None else kept.reshape(moment.shape))

    def compare(self, model: nn.Module, x: Tensor, tasks: Tensor) -> None:
        """Check that the network and the learner that was read from it say the same of some samples.

        Args:
            model: the network. x: a minibatch [batch, ...]. tasks: its task labels [batch].

        Raises:
            InvalidSetting: they don't: activations or normalisation are others.
        """
        modes = {module: module.training for module in model.modules()}
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=()):
                theirs = avalanche_forward(model.eval(), x, tasks)
        finally:
            for module, training in modes.items():
                module.training = training
        ours = self.population.predict(x.flatten(1)[None], [0])[0]
        scale = float(ours.abs().nan_to_num(0, 0, 0).max())
        if theirs.shape == ours.shape:
            if torch.allclose(theirs.to(ours), ours, rtol=0, atol=_CLOSE * scale + _TINY, equal_nan=True):
                return
            differ = f"differ by up to {float((theirs.to(ours) - ours).abs().max()):.2g}"
        else:
            differ = f"are {tuple(theirs.shape)} and {tuple(ours.shape)}"
        raise InvalidSetting(
            "The network has the layers that the learner settings make, but doesn't compute the same: outputs for the "
            f"first minibatch {differ}. Let the plugin make the network (PlasticPlugin.network(...)), or give "
            "LearnerSettings with its activation, norm and pooling."
        )

    def adopt(self) -> None:
        """Take the network as it is for the learner's initial one, to be rewound to."""
        state = self.population.state
        slots = [np.arange(state.network.input_units), *(units.slot for units in state.units_of(0))]
        for at, initial in enumerate(state.initial):
            weight, vectors = state.layer(state.weights, 0, at)
            initial.blocks(state.network.blocks[at])[0][np.ix_(slots[at + 1], slots[at])] = weight
            initial.vectors[0][:, slots[at + 1]] = vectors

    def store(self, named: Named | None, restarted: bool) -> None:
        """Write the learner into the network, in place; a parameter whose shape has changed is replaced by a new one
        that takes its place in the optimizer, with its state.

        named: what an Avalanche strategy knows of the optimized parameters, by name; brought up to date.
        restarted: whether all optimizer state starts anew.
        """
        with torch.no_grad():
            for place, value, moments in self._pairs():
                self._store(place, value, moments, named)
            for places in self.layers:
                _resize(places[0].module)
                _resize(places[-1].module)
            if restarted:
                for kept in self.optimizer.state.values():
                    if "step" in kept:
                        kept["step"].zero_()

    def _pairs(self) -> Iterator[tuple[Place, Tensor, list[Tensor]]]:
        """Each place in the network with its weights and moments in the population: views of its memory."""
        state = self.population.state
        for at, places in enumerate(self.layers):
            layer = state.layer(state.weights, 0, at)
            moments = [state.layer(flat, 0, at) for flat in state.moments]
            for place in places:
                yield place, place.of(layer), [place.of(moment) for moment in moments]

    def _store(self, place: Place, numbers: Tensor, moments: list[Tensor], named: Named | None) -> None:
        old, shape = place.value, place.shape(numbers)
        new = old
        if old.shape == shape:
            _write(old, numbers)
        elif isinstance(old, nn.Parameter):
            new = nn.Parameter(numbers.reshape(shape).clone(), requires_grad=old.requires_grad)
            setattr(place.module, place.attribute, new)
            self._replace(old, new)
            if named is not None:
                named[place.name + place.attribute] = new
        else:
            setattr(place.module, place.attribute, numbers.clone())
        kept = self.optimizer.state.get(new, {})
        for key, moment in zip(self.keys, moments, strict=False):
            if kept.get(key) is None:
                continue
            if kept[key].shape == shape:
                _write(kept[key], moment)
            else:
                kept[key] = moment.reshape(shape).clone()

    def _replace(self, old: nn.Parameter, new: nn.Parameter) -> None:
        for group in self.optimizer.param_groups:
            group["params"][:] = [new if each is old else each for each in group["params"]]
        if old in self.optimizer.state:
            self.optimizer.state[new] = self.optimizer.state.pop(old)

    def _check(self) -> None:
        state, stages = self.population.state, self.population.network.stages
        optimized = {id(each) for group in self.optimizer.param_groups for each in group["params"]}
        mine, theirs = [], []
        for at in range(len(stages)):
            layer = state.layer(state.weights, 0, at)
            kind = nn.Conv2d if isinstance(stages[at], ConvStage) else nn.Linear
            mine.append((kind.__name__, len(layer.weight), layer.weight[0].numel(), len(layer.vectors)))
        for places in self.layers:
            weight = places[0].value
            theirs.append((type(places[0].module).__name__, len(weight), weight[0].numel(), len(places) - 1))
        if mine != theirs:
            raise InvalidSetting(
                "The network's layers (kind, units, inputs, numbers per unit besides) are "
                f"{theirs}; the learner settings make {mine}: let the plugin make the network (PlasticPlugin.network), "
                "or give settings that fit it."
            )
        for places in self.layers:
            for place in places:
                if isinstance(place.value, nn.Parameter) and id(place.value) not in optimized:
                    raise InvalidSetting(
                        f"The optimizer doesn't have the parameter {place.name}{place.attribute}; give it "
                        "model.parameters()."
                    )


def inputs_of(model: nn.Module) -> Shape:
    """What a network takes: features or, if it begins with a convolution, the shape of the images that the module
    before makes of these.

    Raises:
        InvalidSetting: it has no nn.Linear, and nothing that makes images.
    """
    for module in model.modules():
        if isinstance(module, nn.Unflatten):
            channels, height, width = module.unflattened_size
            return int(channels), int(height), int(width)
        if isinstance(module, nn.Linear):
            return module.in_features
    raise InvalidSetting(f"{type(model).__name__} has no nn.Linear; let PlasticPlugin.network make the network.")


def classes_of(model: nn.Module) -> int:
    """How many outputs a network has."""
    return len(_layers(model)[-1][0].value)


def like(optimizer: torch.optim.Optimizer) -> Optimizer:
    """The rule that keeps the same state as a torch optimizer."""
    _state_keys(optimizer)
    group = optimizer.param_groups[0]
    if isinstance(optimizer, torch.optim.SGD):
        return SGD(float(group["lr"]), float(group["momentum"]))
    beta1, beta2 = group["betas"]
    return Adam(float(group["lr"]), float(beta1), float(beta2), float(group["eps"]))


def _state_keys(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    for kind, keys in _STATE.items():
        if isinstance(optimizer, kind) and not any(group.get("amsgrad") for group in optimizer.param_groups):
            return keys
    raise InvalidSetting(
        f"The optimizer is {type(optimizer).__name__}; edits know the state of torch.optim.SGD and of torch.optim.Adam "
        "without amsgrad: use one of these."
    )


def _layers(model: nn.Module) -> list[list[Place]]:
    """The tensors of each layer, its weights first, then its numbers per unit."""
    layers: list[list[Place]] = []
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            if module.bias is None:
                raise InvalidSetting(f"The layer {name} has no bias; exported networks have one in each layer.")
            layers.append([Place(module, prefix, "weight", None), Place(module, prefix, "bias", BIAS)])
        elif isinstance(module, NORMS) and layers:
            rows = {key: row for key, row in _VECTORS.items() if getattr(module, key, None) is not None}
            layers[-1] += [Place(module, prefix, key, row) for key, row in rows.items()]
        elif next(_own(module), None) is not None:
            raise InvalidSetting(
                f"The module {name} ({type(module).__name__}) has parameters of a kind that edits don't know; exported "
                "networks consist of nn.Linear, nn.Conv2d and normalisations."
            )
    if not layers:
        raise InvalidSetting(f"{type(model).__name__} has no layers; let PlasticPlugin.network make the network.")
    return layers


def _own(module: nn.Module) -> Iterator[nn.Parameter]:
    return module.parameters(recurse=False)


def _write(target: Tensor, numbers: Tensor) -> None:
    """In place, and only if it changes anything."""
    numbers = numbers.reshape(target.shape)
    if not torch.equal(target, numbers):
        target.copy_(numbers)


def _resize(module: nn.Module) -> None:
    """Let a module's sizes tell what its parameters are."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = len(module.weight)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        module.num_features = len(module.weight)
