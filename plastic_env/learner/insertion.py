"""Insertion rules: the weights that newborn units enter with.

`prepare` sets the initial weights of the slots before birth: these are what newborns enter with, and
what rewinding returns them to. `settle` then changes the live weights after birth, layer by layer
from the inputs up.

| rule | incoming, bias | outgoing | preserves |
| --- | --- | --- | --- |
| dormant | the slot's initial draw | the slot's initial draw | nothing: the function moves |
| fresh | a new draw | a new draw | nothing: the function moves |
| zero_out | a new draw | 0 | the function; dL/dz is 0 at birth, dL/dW_out is not |
| net2wider | an incumbent's | the incumbent's, shared among its copies | the function (without noise) |
| gradmax | 0 | directions of the steepest loss decrease | the function; dL/dW_in is as large as it can be |
| scaled | a draw for the live fan-in | a draw for the live fan-in | the variance of the next pre-activations |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit
from plastic_env.learner.activations import Activation
from plastic_env.learner.network import Init, Layer, draw


@dataclass(frozen=True)
class Birth:
    """Units about to be born in one hidden layer of one learner."""

    below: Layer  # the learner's initial parameters into this layer: [slots, slots below], [1, slots]
    above: Layer  # and out of it: [slots above, slots], [1, slots above]
    slots: np.ndarray  # the places they take
    live_above: np.ndarray  # the live units' places above; dormant ones keep what they wait with
    init: Init
    rng: np.random.Generator


@dataclass(frozen=True)
class Settling:
    """One hidden layer of one learner right after births; the tensors are views of its live weights.

    `inputs` and `deltas` are from before the edit; units that did not exist then have zeros.
    """

    incoming: Tensor  # [units, units below]
    bias: Tensor  # [units]
    outgoing: Tensor  # [units above, units]
    inputs: Tensor  # [samples, units below] activations that feed the layer
    deltas: Tensor  # [samples, units above] dL/dz of the layer that it feeds
    newborn: np.ndarray  # positions
    incumbent: np.ndarray  # positions
    before: int  # live units of the layer before the edit
    init: Init
    rng: np.random.Generator


class Insertion(Protocol):
    """How newborns enter."""

    settles: bool  # whether `settle` does anything: it can't be joined with rewinding or resetting

    def check(self, activation: Activation, newborns: int, incumbents: int, below: int, above: int) -> None:
        """Raise `InvalidEdit` if the rule makes no sense here.

        newborns: how many in a layer. incumbents, below, above: units with a past in this layer and around it.
        """
        ...

    def prepare(self, birth: Birth) -> None:
        """Set the slots' initial weights."""
        ...

    def settle(self, layer: Settling) -> None:
        """Change live weights after birth."""
        ...


class _Insertion:
    """Does nothing: newborns enter with what their slots hold."""

    settles = False

    def check(self, activation: Activation, newborns: int, incumbents: int, below: int, above: int) -> None:
        """Anything goes."""

    def prepare(self, birth: Birth) -> None:
        """Leave the slots as they are."""

    def settle(self, layer: Settling) -> None:
        """Leave the weights as they are."""


@dataclass(frozen=True)
class Dormant(_Insertion):
    """The initial weights that the slots have waited with (arXiv 2605.15435)."""


@dataclass(frozen=True)
class Fresh(_Insertion):
    """New draws from the initial distribution, incoming and outgoing."""

    def prepare(self, birth: Birth) -> None:
        """Draw both."""
        _draw_incoming(birth)
        above, fan_in = birth.above.weight.shape
        values = draw(birth.rng, birth.init.weight(fan_in), (above, len(birth.slots)))
        birth.above.weight[np.ix_(birth.live_above, birth.slots)] = values[birth.live_above].to(birth.above.weight)


@dataclass(frozen=True)
class ZeroOut(_Insertion):
    """New incoming weights, outgoing weights of 0, as continual backprop does (Dohare et al. 2024)."""

    settles = True

    def prepare(self, birth: Birth) -> None:
        """Draw the incoming ones."""
        _draw_incoming(birth)

    def settle(self, layer: Settling) -> None:
        """Clear the outgoing ones."""
        layer.outgoing[:, layer.newborn] = 0


@dataclass(frozen=True)
class Net2Wider(_Insertion):
    """Copies of incumbents drawn at random; each shares its outgoing weights equally with its copies
    (Chen et al. 2016, arXiv 1511.05641).

    noise: standard deviation of what is added to the copies' incoming weights, relative to the mean absolute
        weight of the layer; it breaks the symmetry, and with it the preservation of the function.
    """

    noise: float = 0.0
    settles = True

    def check(self, activation: Activation, newborns: int, incumbents: int, below: int, above: int) -> None:
        """Refuse to copy from nobody."""
        if incumbents == 0:
            raise InvalidEdit("net2wider copies incumbents, and none is left in this layer; recycle fewer units.")

    def settle(self, layer: Settling) -> None:
        """Copy and share."""
        donors = layer.rng.choice(layer.incumbent, len(layer.newborn))
        spread = self.noise * layer.incoming[layer.incumbent].abs().mean()
        jitter = torch.from_numpy(layer.rng.standard_normal((len(donors), layer.incoming.shape[1])))
        layer.incoming[layer.newborn] = layer.incoming[donors] + spread * jitter.to(layer.incoming)
        layer.bias[layer.newborn] = layer.bias[donors]
        copies = 1 + np.bincount(donors, minlength=len(layer.bias))  # original included
        layer.outgoing[:, layer.newborn] = layer.outgoing[:, donors]
        shares = np.concatenate([np.unique(donors), layer.newborn])
        counts = np.concatenate([copies[np.unique(donors)], copies[donors]])
        layer.outgoing[:, shares] /= torch.from_numpy(counts).to(layer.outgoing)


@dataclass(frozen=True)
class GradMax(_Insertion):
    """Incoming weights 0; outgoing weights along the directions in which the gradient of the incoming weights is
    largest (Evci et al. 2022, arXiv 2201.05125): the top right singular vectors of [X, 1]^T G / samples, X being
    what feeds the layer and G the loss gradient at the next pre-activation.

    scale: norm of each outgoing column, relative to the incumbents' mean norm.
    """

    scale: float = 1.0
    settles = True

    def check(self, activation: Activation, newborns: int, incumbents: int, below: int, above: int) -> None:
        """Refuse activations whose derivative at 0 is 0: such newborns would never receive a gradient; and more
        newborns than there are directions."""
        probe = torch.zeros(1, 1, 1)
        slope = activation.backward(torch.ones_like(probe), activation.forward(probe)[1])
        if slope.item() == 0:
            raise InvalidEdit(
                f"gradmax gives newborns incoming weights of 0, and {type(activation).__name__} has derivative 0 "
                "there: they would be stillborn. Use an activation with another slope at 0, such as smooth_leaky."
            )
        directions = min(below + 1, above)
        if newborns > directions:
            raise InvalidEdit(
                f"gradmax has {directions} directions in this layer (the units below plus one, or the units above, "
                f"whichever are fewer), and was asked for {newborns} newborns; grow fewer at once."
            )

    def settle(self, layer: Settling) -> None:
        """Set both."""
        samples = len(layer.inputs)
        inputs = torch.cat([layer.inputs, layer.inputs.new_ones(samples, 1)], 1)  # [samples, below + 1]
        directions = torch.linalg.svd(inputs.mT @ layer.deltas / samples, full_matrices=False).Vh  # [rank, above]
        norms = layer.outgoing[:, layer.incumbent].norm(dim=0)
        size = self.scale * (norms.mean() if len(layer.incumbent) else 1.0)
        layer.incoming[layer.newborn] = 0
        layer.bias[layer.newborn] = 0
        layer.outgoing[:, layer.newborn] = size * directions[: len(layer.newborn)].mT


@dataclass(frozen=True)
class Scaled(_Insertion):
    """Variance transfer (Yuan et al. 2023): newborns are drawn for the number of live units that feed them, not of
    slots, and the incumbents' outgoing weights shrink by sqrt(live units before / after), so that the variance of
    the next pre-activations stays.
    """

    settles = True

    def settle(self, layer: Settling) -> None:
        """Draw newborns, rescale incumbents."""
        new, (units, fan_in) = layer.newborn, layer.incoming.shape
        layer.incoming[new] = draw(layer.rng, layer.init.weight(fan_in), (len(new), fan_in)).to(layer.incoming)
        layer.bias[new] = draw(layer.rng, layer.init.bias(fan_in), (len(new),)).to(layer.bias)
        above = draw(layer.rng, layer.init.weight(units), (len(layer.outgoing), len(new)))
        layer.outgoing[:, new] = above.to(layer.outgoing)
        layer.outgoing[:, layer.incumbent] *= (layer.before / units) ** 0.5


INSERTIONS: dict[str, Insertion] = {
    "dormant": Dormant(),
    "fresh": Fresh(),
    "zero_out": ZeroOut(),
    "net2wider": Net2Wider(),
    "gradmax": GradMax(),
    "scaled": Scaled(),
}


def _draw_incoming(birth: Birth) -> None:
    weight, bias = birth.below
    fan_in = weight.shape[1]
    weight[birth.slots] = draw(birth.rng, birth.init.weight(fan_in), (len(birth.slots), fan_in)).to(weight)
    bias[0, birth.slots] = draw(birth.rng, birth.init.bias(fan_in), (len(birth.slots),)).to(bias)
