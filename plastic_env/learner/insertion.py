"""Insertion rules: the weights that newborn units enter with.

`prepare` sets the initial weights of the slots before birth: these are what newborns enter with, and
what rewinding returns them to. `settle` then changes the live weights after birth, layer by layer
from the inputs up. With layer normalisation no rule preserves the function: newborns move the mean and the
variance that all units are normalised by.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit, check_number
from plastic_env.learner.activations import Activation
from plastic_env.learner.normalisation import Norm
from plastic_env.learner.parameters import BIAS, INITS, Draw, Layer, draw, draw_units


@dataclass(frozen=True)
class Births:
    """Units about to be born in one hidden layer of some learners; the tensors are all learners' initial parameters.

    init: a name in `INITS`.
    """

    below: Layer  #: into this layer: [n, slots, columns], [n, rows, slots]
    above: Tensor  #: the weights out of it: [n, slots above, slots, block]
    newborns: Sequence[Draw]  #: the places they take
    live_above: Sequence[np.ndarray]  #: of each such learner, the places of live units above; dormant ones stay as is
    init: str


@dataclass(frozen=True)
class Settling:
    """One hidden layer of one learner right after births; the tensors are views of its live weights.

    `inputs` and `deltas` look at dense layers before the edit; units that did not exist then have zeros.

    init: a name in `INITS`. rng: the learner's own generator.
    """

    below: Layer  #: [units, units below, block], [rows, units]
    outgoing: Tensor  #: [units above, units, block]
    inputs: Callable[[], Tensor]  #: [samples, columns] what feeds the layer
    deltas: Callable[[], Tensor]  #: [samples, units above] dL/dz of the layer that it feeds
    newborn: np.ndarray  #: positions
    incumbent: np.ndarray  #: positions
    before: int  #: live units of the layer before the edit
    init: str
    rng: np.random.Generator


@dataclass(frozen=True)
class Place:
    """Where newborns are to enter: one hidden layer of one learner.

    function, norm: of the layer.
    newborns: how many. incumbents, below, above: units with a past in this layer and around it (of the layer below
    all that they feed into this one). dense: whether this layer and the one that it feeds are fully connected.
    """

    function: Activation
    norm: Norm | None
    dense: bool
    newborns: int
    incumbents: int
    below: int
    above: int


class Insertion(Protocol):
    """How newborns enter."""

    prepares: bool  #: whether `prepare` does anything
    settles: bool  #: whether `settle` does anything: it can't be joined with rewinding or resetting

    def check(self, place: Place) -> None:
        """Raise `InvalidEdit` if the rule makes no sense there."""
        ...

    def prepare(self, births: Births) -> None:
        """Set the slots' initial weights."""
        ...

    def settle(self, layer: Settling) -> None:
        """Change live weights after birth."""
        ...


class _Insertion:
    """Does nothing: newborns enter with what their slots hold."""

    prepares = False
    settles = False

    def check(self, place: Place) -> None:
        """Anything goes."""

    def prepare(self, births: Births) -> None:
        """Leave the slots as they are."""

    def settle(self, layer: Settling) -> None:
        """Leave the weights as they are."""


@dataclass(frozen=True)
class Dormant(_Insertion):
    """The initial weights that the slots have waited with (arXiv 2605.15435)."""


@dataclass(frozen=True)
class Fresh(_Insertion):
    """New draws from the initial distribution, incoming and outgoing."""

    prepares = True

    def prepare(self, births: Births) -> None:
        """Draw both."""
        _draw_incoming(births)
        _, slots_above, slots, block = births.above.shape
        half_width = INITS[births.init].weight(slots * block)
        places, values = [], []
        for (member, units, rng), above in zip(births.newborns, births.live_above, strict=True):
            place = (member * slots_above + above[:, None]) * slots + units
            places.append(place.ravel())
            values.append(draw(rng, half_width, (place.size, block)))
        weight = births.above.view(-1, block)
        weight[torch.from_numpy(np.concatenate(places))] = torch.from_numpy(np.concatenate(values)).to(weight)


@dataclass(frozen=True)
class ZeroOut(_Insertion):
    """New incoming weights, outgoing weights of 0, as continual backprop does (Dohare et al. 2024)."""

    prepares = True
    settles = True

    def prepare(self, births: Births) -> None:
        """Draw the incoming ones."""
        _draw_incoming(births)

    def settle(self, layer: Settling) -> None:
        """Clear the outgoing ones."""
        layer.outgoing[:, layer.newborn] = 0


@dataclass(frozen=True)
class Net2Wider(_Insertion):
    """Copies of incumbents drawn at random; each shares its outgoing weights equally with its copies
    (Chen et al. 2016, arXiv 1511.05641).

    noise: standard deviation of what is added to the copies' incoming weights, relative to the mean absolute
        weight of the layer; it breaks the symmetry, and with it the preservation of the function.

    Raises:
        InvalidSetting: a noise that is no number of at least 0.
    """

    noise: float = 0.0
    settles = True

    def __post_init__(self) -> None:
        check_number(self, "noise", 0)

    def check(self, place: Place) -> None:
        """Refuse to copy from nobody.

        Raises:
            InvalidEdit: the layer has no incumbent.
        """
        if place.incumbents == 0:
            raise InvalidEdit("net2wider copies incumbents, and none is left in this layer; recycle fewer units.")

    def settle(self, layer: Settling) -> None:
        """Copy and share."""
        (weight, vectors), new = layer.below, layer.newborn
        donors = layer.rng.choice(layer.incumbent, len(new))
        spread = self.noise * weight[layer.incumbent].abs().mean()
        jitter = torch.from_numpy(layer.rng.standard_normal((len(donors), *weight.shape[1:])))
        weight[new] = weight[donors] + spread * jitter.to(weight)
        vectors[:, new] = vectors[:, donors]
        copies = 1 + np.bincount(donors, minlength=len(weight))  # original included
        layer.outgoing[:, new] = layer.outgoing[:, donors]
        shares = np.concatenate([np.unique(donors), new])
        counts = np.concatenate([copies[np.unique(donors)], copies[donors]])
        layer.outgoing[:, shares] /= torch.from_numpy(counts[:, None]).to(weight)


@dataclass(frozen=True)
class GradMax(_Insertion):
    """Incoming weights 0; outgoing weights along the directions in which the gradient of the incoming weights is
    largest (Evci et al. 2022, arXiv 2201.05125): the top right singular vectors of [X, 1]^T G / samples, X being
    what feeds the layer and G the loss gradient at the next pre-activation.

    scale: norm of each outgoing column, relative to the incumbents' mean norm.

    Raises:
        InvalidSetting: a scale that is no number above 0: newborns would be stillborn.
    """

    scale: float = 1.0
    settles = True

    def __post_init__(self) -> None:
        check_number(self, "scale", 0, ends="(]")

    def check(self, place: Place) -> None:
        """Refuse activations whose derivative at 0 is 0: such newborns would never receive a gradient; more newborns
        than there are directions; normalised layers, where units of incoming weights 0 are undefined or move
        others; and convolutions.

        Raises:
            InvalidEdit: any of these.
        """
        if not place.dense:
            raise InvalidEdit(
                "gradmax needs fully connected layers, in which each unit feeds the next layer by one number; "
                "this layer or the next is a convolution: use another insertion rule here."
            )
        if place.norm is not None:
            raise InvalidEdit(
                "gradmax gives newborns incoming weights of 0, which normalisation blows up or shifts; "
                "use another insertion rule, or norm='none'."
            )
        probe = torch.zeros(1, 1, 1)
        h, saved = place.function.forward(probe)
        slope = place.function.backward(torch.ones_like(h), saved)
        if slope.item() == 0:
            raise InvalidEdit(
                f"gradmax gives newborns incoming weights of 0, and {type(place.function).__name__} has derivative 0 "
                "there: they would be stillborn. Use an activation with another slope at 0, such as smooth_leaky."
            )
        directions = min(place.below + 1, place.above)
        if place.newborns > directions:
            raise InvalidEdit(
                f"gradmax has {directions} directions in this layer (what feeds it plus one, or the units above, "
                f"whichever are fewer), and was asked for {place.newborns} newborns; grow fewer at once."
            )

    def settle(self, layer: Settling) -> None:
        """Set both."""
        (weight, vectors), inputs = layer.below, layer.inputs()
        inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)  # [samples, columns + 1]
        wanted = inputs.mT @ layer.deltas() / len(inputs)
        directions = torch.linalg.svd(wanted, full_matrices=False).Vh  # [rank, units above]
        outgoing = layer.outgoing[..., 0]  # [units above, units]
        norms = outgoing[:, layer.incumbent].norm(dim=0)
        size = self.scale * (norms.mean() if len(layer.incumbent) else 1.0)
        weight[layer.newborn] = 0
        vectors[BIAS, layer.newborn] = 0
        outgoing[:, layer.newborn] = size * directions[: len(layer.newborn)].mT


@dataclass(frozen=True)
class Scaled(_Insertion):
    """Variance transfer (Yuan et al. 2023): newborns are drawn for the number of live units that feed them, not of
    slots, and the incumbents' outgoing weights shrink by sqrt(live units before / after), so that the variance of
    the next pre-activations stays.
    """

    settles = True

    def settle(self, layer: Settling) -> None:
        """Draw newborns, rescale incumbents."""
        new, (units, *inputs) = layer.newborn, layer.below.weight.shape
        columns, (above, _, block) = int(np.prod(inputs)), layer.outgoing.shape
        below = Layer(layer.below.weight.flatten(1)[None], layer.below.vectors[None])
        draw_units(below, [Draw(0, new, layer.rng)], columns, layer.init)
        outgoing = draw(layer.rng, INITS[layer.init].weight(units * block), (above, len(new), block))
        layer.outgoing[:, new] = torch.from_numpy(outgoing).to(layer.outgoing)
        layer.outgoing[:, layer.incumbent] *= (layer.before / units) ** 0.5


INSERTIONS: dict[str, Insertion] = {
    "dormant": Dormant(),
    "fresh": Fresh(),
    "zero_out": ZeroOut(),
    "net2wider": Net2Wider(),
    "gradmax": GradMax(),
    "scaled": Scaled(),
}


def _draw_incoming(births: Births) -> None:
    draw_units(births.below, births.newborns, births.below.weight.shape[2], births.init)
