"""Maintenance: what keeps a learner plastic without touching its structure, between and within its updates.

A rule is a frozen setting in `LearnerSettings.maintenance`. It may add to the gradients before the optimizer, act on
the weights after it, or dress the activation function while training. Rules act in the order they are given in. Only
live units count, and padding stays zero. Weight-sized state lies with the optimizer's moments; what a rule keeps per
unit lies in the `traces` of the state, travels with its units through edits, is 0 for newborns, and is in snapshots.

Random numbers come from each learner's own generator, as many as it has live parameters or slots: what one learner
draws depends on nobody else. Trainability rules slow down what the optimizer does, penalties included, not what rules
do to the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.activations import Activation
from plastic_env.learner.parameters import BIAS, GAIN, INITS, Layer

if TYPE_CHECKING:
    from plastic_env.learner.network import Trace
    from plastic_env.learner.settings import LearnerSettings
    from plastic_env.learner.state import State

AT_ONCE = 2**18  # random numbers that are worked out together: they stay in the cache until they have been added
STOCK = 2**21  # random numbers that may be drawn at once, for several updates


class Births(NamedTuple):
    """Units of one hidden layer that a rule has replaced, one entry each.

    layer: among the hidden ones. row: among the stacked learners, ascending. position: in the layer.
    incoming: [units, slots below * block] the fresh weights, of all slots.
    """

    layer: int
    row: np.ndarray
    position: np.ndarray
    incoming: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """m learners in some coming updates, as rules see them; the tensors are the learners' own memory.

    state: of all learners, when the stretch begins. members: the numbers of these.
    weights: [m, P]. traces: per stage, the head included, [m, rows, width] this rule's numbers per unit.
    shares: [m, hidden layers] fractions of units that are due. rngs: the learners' generators. init: how fresh weights
    are drawn. coming: updates in which nobody else draws from the generators, in this stretch.
    """

    state: State
    members: list[int]
    weights: Tensor
    traces: list[Tensor]
    shares: np.ndarray
    rngs: Sequence[np.random.Generator]
    init: str
    coming: int = 0

    @cached_property
    def layers(self) -> list[Layer]:
        """The weights, layer by layer."""
        return self.state.layout.views(self.weights)

    @property
    def updates(self) -> np.ndarray:
        """[m] updates made before the first one of the stretch."""
        return self.state.updates[self.members]


class Upkeep:
    """A rule at work; this one does nothing."""

    def gradients(self, gradients: Tensor) -> None:
        """Look at the loss gradients [m, P] before the optimizer does, or add to them."""

    def weights(self, step: int, trace: Trace) -> list[Births]:
        """Act on the weights after update number `step` of the stretch; say who has been replaced.

        trace: of the update's forward pass.
        """
        return []

    def reborn(self, births: Births) -> None:
        """Units have been replaced, by this rule or another one; their traces are 0."""

    def finish(self, updates: int) -> None:
        """So many updates have been made, and the stretch is over: leave the traces as they are to be kept."""


class Maintenance(Protocol):
    """A rule; frozen settings only, its state lies with the population."""

    @property
    def traces(self) -> int:
        """How many numbers it keeps per unit."""
        ...

    @property
    def needs_gradients(self) -> bool:
        """Whether gradients must be written down for it."""
        ...

    def check(self, learner: LearnerSettings) -> None:
        """Raise `InvalidSetting` if the rule makes no sense for such learners."""
        ...

    def dress(self, function: Activation) -> Activation:
        """The activation function to train with."""
        ...

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Get ready for a stretch of updates."""
        ...


class Rule:
    """What rules share: they leave alone what they don't override."""

    traces = 0
    needs_gradients = False

    def check(self, learner: LearnerSettings) -> None:
        """Anything goes."""

    def dress(self, function: Activation) -> Activation:
        """The function as it is."""
        return function

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Nothing to do."""
        return Upkeep()


class Jitter:
    """Uniform random numbers for all live parameters of some learners, from their own generators; 0 at padding.

    They take 128 values, equally spaced and symmetric about 0, with the variance of the continuous distribution. Any
    two of an update are independent of each other, and updates are; among three of one update there may be relations:
    of seven blocks of bits, three are drawn, and four are combinations of these. Numbers in single precision, all
    drawn, would take more time than all the rest of an update.

    half_widths: [P], 0 where nothing is to be drawn. live: [m, P] bool, None if there is no padding. coming: updates to
    come in which nobody else draws from the generators: numbers for several of them are drawn at once, the same ones.
    """

    def __init__(
        self, rngs: Sequence[np.random.Generator], live: Tensor | None, half_widths: Tensor, coming: int = 0
    ) -> None:
        self.draws, self.live, self.coming = [rng.bit_generator.random_raw for rng in rngs], live, coming
        self.counts: list[int] = [len(half_widths)] * len(rngs) if live is None else live.sum(1).tolist()
        self.words = [-(-count // (8 * 7)) for count in self.counts]  # of 8 numbers, in each of 7 blocks
        self.scale = half_widths / (2**14 - 1) ** 0.5
        self.stock: list[Tensor] = []  # levels [m, 7, numbers] for updates to come, the next one last
        self.ahead = max(1, STOCK // (len(rngs) * len(half_widths)))
        self.stride = -(-len(rngs) // -(-len(rngs) * len(half_widths) // AT_ONCE))
        self.room = half_widths.new_zeros(self.stride, max(len(half_widths), 7 * 8 * max(self.words)))

    def add_to(self, target: Tensor, keep: float = 1.0) -> None:
        """target <- keep * target + new numbers [m, P]."""
        if not self.stock:
            updates = max(1, min(self.ahead, self.coming))
            self.stock, self.coming = [*self._levels(range(len(target)), updates)][::-1], self.coming - updates
        levels = self.stock.pop()
        for start in range(0, len(target), self.stride):
            here = slice(start, start + self.stride)
            noise, part = self._numbers(levels[here], range(len(target))[here]), target[here]
            if keep == 1:
                part.addcmul_(noise, self.scale)
            else:
                torch.add(noise.mul_(self.scale), part, alpha=keep, out=part)

    def draw(self, rows: Sequence[int]) -> Tensor:
        """New numbers of some learners, [rows, P]."""
        (levels,), found = self._levels(rows, 1), self.scale.new_empty(len(rows), len(self.scale))
        for start in range(0, len(rows), self.stride):
            here = slice(start, start + self.stride)
            torch.mul(self._numbers(levels[here], rows[here]), self.scale, out=found[here])
        return found

    def _levels(self, rows: Sequence[int], updates: int) -> Tensor:
        """New odd int8 numbers [updates, rows, 7, numbers] of some learners."""
        blocks = np.zeros((updates, 7, len(rows), max(self.words)), dtype=np.uint64)
        for at, row in enumerate(rows):
            words = self.words[row]
            blocks[:, :3, at, :words] = self.draws[row](updates * 3 * words).reshape(updates, 3, words)
        first, second, third, both = (blocks[:, at] for at in range(4))
        np.bitwise_xor(first, second, out=both)
        np.bitwise_xor(blocks[:, :2], third[:, None], out=blocks[:, 4:6])
        np.bitwise_xor(both, third, out=blocks[:, 6])
        np.bitwise_or(blocks, np.uint64(0x0101010101010101), out=blocks)  # odd numbers are symmetric about 0
        return torch.from_numpy(blocks.view(np.int8)).transpose(1, 2)

    def _numbers(self, levels: Tensor, rows: Sequence[int]) -> Tensor:
        """Levels [rows, 7, numbers] as floating-point numbers [rows, P], 0 at padding; good until the next call."""
        room = self.room[: len(rows)]
        numbers = room[:, : len(self.scale)]
        if self.live is None:
            room.view(levels.shape).copy_(levels)
            return numbers
        mine = [levels[at, :, : 8 * self.words[row]].flatten()[: self.counts[row]] for at, row in enumerate(rows)]
        return numbers.zero_().masked_scatter_(self.live[list(rows)], torch.cat(mine).to(numbers))


def live_parameters(state: State, members: Sequence[int]) -> Tensor | None:
    """[m, P] bool: which stored parameters are no padding; None if all of them."""
    exists = [units.exists[members] for units in state.units]
    if all(layer.all() for layer in exists):
        return None
    mask = torch.zeros(len(members), state.layout.size, dtype=torch.bool)
    below: Tensor | None = None
    for layer, block, units in zip(state.layout.views(mask), state.layout.blocks, exists, strict=True):
        above = torch.from_numpy(units)
        weight = layer.blocks(block)
        weight.copy_(above[:, :, None, None].expand_as(weight))
        if below is not None:
            weight.logical_and_(below[:, None, :, None])
        layer.vectors.copy_(above[:, None].expand_as(layer.vectors))
        below = above
    return mask.to(state.weights.device)


def init_half_widths(state: State, init: str, biases: bool = True) -> Tensor:
    """[P] half-widths of the distributions that weights and, if wanted, biases are drawn from; 0 elsewhere."""
    rule, flat = INITS[init], state.weights.new_zeros(1, state.layout.size)
    for layer, start in zip(state.layout.views(flat), state.initial, strict=True):
        fan_in = start.weight.shape[2]  # slots, not live units
        layer.weight.fill_(rule.weight(fan_in))
        if biases:
            layer.vectors[:, BIAS] = rule.bias(fan_in)
    return flat[0]


def learnt_parameters(state: State, members: Sequence[int]) -> Tensor | None:
    """[m, P] bool: which stored parameters are live and changed by gradients; None if all of them."""
    live, learnt = live_parameters(state, members), torch.ones_like(state.weights[members], dtype=torch.bool)
    clear_unlearnt(state, learnt)
    if live is not None:
        learnt.logical_and_(live)
    return None if bool(learnt.all()) else learnt


def noise_of(
    state: State, members: Sequence[int], rngs: Sequence[np.random.Generator], sigma: float, coming: int
) -> Jitter:
    """Noise of standard deviation sigma for all that is learnt. coming: as for `Jitter`."""
    widths = state.weights.new_full((1, state.layout.size), sigma * 3**0.5)
    clear_unlearnt(state, widths)
    return Jitter(rngs, live_parameters(state, members), widths[0], coming)


def clear_unlearnt(state: State, flat: Tensor) -> None:
    """Set to 0 in `flat` [m, P] what no gradient changes: the running statistics of batch normalisation."""
    if any(rows > GAIN + 2 for rows in state.layout.rows):
        for layer in state.layout.views(flat):
            layer.vectors[:, GAIN + 2 :] = 0
