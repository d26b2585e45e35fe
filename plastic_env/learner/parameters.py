"""Parameters of n learners: one flat row each, shown layer by layer; and how they are drawn.

A learner's weights lie one after the other in a flat row, so that optimizers act on all of them with one
operation; `Layout.views` shows them layer by layer. Only live units are stored. Learners narrower than the
widest are padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BIAS, GAIN, SHIFT, MEAN, VARIANCE = range(5)  # rows of `Layer.vectors`
_AT_START = {GAIN: 1.0, SHIFT: 0.0, MEAN: 0.0, VARIANCE: 1.0}


class Layer(NamedTuple):
    """One layer of n learners.

    Columns of `weight` come in blocks of equal size, one block per unit below: all that the unit feeds into it.
    Rows of `vectors` hold one number per unit: the bias; with normalisation also gain and shift; with batch
    normalisation also the running mean and variance, which no gradient changes.
    """

    weight: Tensor  #: [n, out, columns]
    vectors: Tensor  #: [n, rows, out]

    @property
    def bias(self) -> Tensor:
        """[n, 1, out]."""
        return self.vectors[..., :1, :]

    def clone(self) -> Layer:
        """A copy."""
        return Layer(self.weight.clone(), self.vectors.clone())

    def of(self, members: int | list[int]) -> Layer:
        """The layer of some learners (a copy) or, without the first axis, of one (a view)."""
        return Layer(self.weight[members], self.vectors[members])

    def blocks(self, block: int) -> Tensor:
        """The weights as [..., out, units below, block]; a view."""
        return self.weight.unflatten(-1, (-1, block))


def pick(t: Tensor, learner: Tensor, unit: Tensor) -> Tensor:
    """t[learner, unit] of a contiguous t [n, units, ...]: one flat index is several times faster than two."""
    at = learner * t.shape[1] + unit
    return t.flatten(0, 1).index_select(0, at.flatten()).unflatten(0, at.shape)


def of_live(weight: Tensor, slot: Tensor) -> Tensor:
    """Of weights [..., slots, block] from or to all slots of a layer those of its live units, [..., width, block].

    slot: [..., width] places of the units in stored order, -1 at padding, which gets zeros; axes before the last may be
        1 where all share them.
    """
    index = slot.clamp_min(0)[..., None].expand(*weight.shape[:-2], -1, weight.shape[-1])
    return weight.gather(-2, index).mul_(slot[..., None] >= 0)


def are_all(members: list[int], n: int) -> bool:
    """Whether the members are all of n learners, in order."""
    return members == list(range(n))


def of_members(t: Tensor, members: list[int]) -> Tensor:
    """The rows of some learners in t [n, ...]; itself if they are everybody, in order."""
    return t if are_all(members, len(t)) else t[members]


@dataclass(frozen=True)
class Layout:
    """Where each layer lies in a learner's flat row.

    widths: input units, then the stored width of every layer, the head included.
    blocks: columns per unit below, for every layer. rows: of `Layer.vectors`, for every layer.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def size(self) -> int:
        """Parameters per learner, padding included."""
        return sum(above * (columns + rows) for above, columns, rows in self._shapes())

    def views(self, flat: Tensor) -> list[Layer]:
        """Views of `flat` [n, size], one `Layer` per layer, sharing its memory."""
        layers, at = [], 0
        for above, columns, rows in self._shapes():
            middle = at + above * columns
            end = middle + above * rows
            weight = flat[:, at:middle].view(len(flat), above, columns)
            layers.append(Layer(weight, flat[:, middle:end].view(len(flat), rows, above)))
            at = end
        return layers

    def of_units(self, layer: int, position: np.ndarray) -> np.ndarray:
        """[units, numbers] where in a flat row the parameters of units of a hidden layer lie: the incoming weights,
        then `Layer.vectors`, then the outgoing weights."""
        shapes, block, at = self._shapes(), self.blocks[layer + 1], position[:, None]
        (width, columns, rows), (outputs, row, _) = shapes[layer : layer + 2]
        begin = sum(above * (columns + rows) for above, columns, rows in shapes[:layer])
        vectors = begin + width * columns
        outgoing = vectors + width * rows
        feeds = row * np.arange(outputs)[:, None] + np.arange(block)
        return np.concatenate(
            [
                begin + columns * at + np.arange(columns),
                vectors + width * np.arange(rows) + at,
                outgoing + block * at + feeds.ravel(),
            ],
            axis=1,
        )

    def _shapes(self) -> list[tuple[int, int, int]]:
        """Units, columns and rows of each layer."""
        below = (width * block for width, block in zip(self.widths, self.blocks, strict=False))
        return list(zip(self.widths[1:], below, self.rows, strict=True))


class Init(NamedTuple):
    """Half-widths of the uniform distributions that initial weights and biases are drawn from.

    summary: one line. weight, bias: the half-width, given the fan-in.
    """

    summary: str
    weight: Callable[[int], float]
    bias: Callable[[int], float]


INITS: dict[str, Init] = {
    "torch": Init(
        "torch.nn.Linear's and Conv2d's own: Kaiming-uniform with a = sqrt(5), uniform biases",
        lambda fan_in: fan_in**-0.5,
        lambda fan_in: fan_in**-0.5,
    ),
    "kaiming": Init(
        "Kaiming-uniform with ReLU gain (He et al. 2015), biases 0",
        lambda fan_in: (6 / fan_in) ** 0.5,
        lambda fan_in: 0.0,
    ),
}


def draw(rng: np.random.Generator, half_width: float, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform float64 numbers in [-half_width, half_width]."""
    return rng.uniform(-half_width, half_width, shape)


class Draw(NamedTuple):
    """Some units of one learner that are to be drawn, and the generator to draw them from.

    member: the learner. units: [units] their places. rng: the generator.
    """

    member: int
    units: np.ndarray
    rng: np.random.Generator


def draw_units(layer: Layer, draws: Sequence[Draw], fan_in: int, init: str) -> None:
    """Draw the incoming parameters of units of some learners, in place.

    layer: all learners'. fan_in: columns that count.
    """
    rule, (weight, vectors) = INITS[init], layer
    values: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    for _, units, rng in draws:
        values.append(draw(rng, rule.weight(fan_in), (len(units), weight.shape[2])))
        biases.append(draw(rng, rule.bias(fan_in), (len(units),)))
    learner = torch.from_numpy(np.concatenate([np.full(len(units), member) for member, units, _ in draws]))
    unit = torch.from_numpy(np.concatenate([units for _, units, _ in draws]))
    weight[learner, unit] = torch.from_numpy(np.concatenate(values)).to(weight)
    vectors[learner, BIAS, unit] = torch.from_numpy(np.concatenate(biases)).to(vectors)
    for row in range(GAIN, vectors.shape[1]):
        vectors[learner, row, unit] = _AT_START[row]


def draw_all(layers: Sequence[Layer], member: int, classes: int, rng: np.random.Generator, init: str) -> None:
    """Draw all parameters of one learner, in place; of the head, those of the first `classes`."""
    for layer in layers:
        _, slots, columns = layer.weight.shape
        units = np.arange(slots if layer is not layers[-1] else classes)
        draw_units(layer, [Draw(member, units, rng)], columns, init)
