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

from plastic_env.errors import InvalidSetting
from plastic_env.learner.activations import Activation
from plastic_env.learner.parameters import BIAS, GAIN, INITS, Layer

if TYPE_CHECKING:
    from plastic_env.learner.network import Trace
    from plastic_env.learner.settings import LearnerSettings
    from plastic_env.learner.state import State

AT_ONCE = 16  # learners whose noise is worked out together: it stays in the cache until it has been added


class Births(NamedTuple):
    """Units of one hidden layer that a rule has replaced, one entry each.

    row: among the stacked learners, ascending. incoming: [units, slots below * block] the fresh weights, of all slots.
    """

    layer: int
    row: np.ndarray
    position: np.ndarray
    incoming: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """m learners in some coming updates, as rules see them; the tensors are the learners' own memory.

    weights: [m, P]. traces: per stage, the head included, [m, rows, width] this rule's numbers per unit.
    shares: [m, hidden layers] fractions of units that are due. rngs: the learners' generators. init: how fresh weights
    are drawn.
    """

    state: State
    members: list[int]
    weights: Tensor
    traces: list[Tensor]
    shares: np.ndarray
    rngs: Sequence[np.random.Generator]
    init: str

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

    half_widths: [P], 0 where nothing is to be drawn. live: [m, P] bool, None if there is no padding.
    """

    def __init__(self, rngs: Sequence[np.random.Generator], live: Tensor | None, half_widths: Tensor) -> None:
        self.draws, self.live = [rng.bit_generator.random_raw for rng in rngs], live
        self.counts: list[int] = [len(half_widths)] * len(rngs) if live is None else live.sum(1).tolist()
        self.words = [-(-count // (8 * 7)) for count in self.counts]  # of 8 numbers, in each of 7 blocks
        self.blocks = np.zeros((len(rngs), 7, max(self.words)), dtype=np.uint64)
        self.odd = self.blocks.copy()
        self.scale = half_widths / (2**14 - 1) ** 0.5
        self.out = half_widths.new_empty(min(AT_ONCE, len(rngs)), len(half_widths))

    def add_to(self, target: Tensor, keep: float = 1.0) -> None:
        """target <- keep * (target + new numbers [m, P])."""
        levels, stride = self._levels(), len(self.out)
        for start in range(0, len(target), stride):
            part = target[start : start + stride]
            part.addcmul_(self.out[: len(part)].copy_(levels[start : start + stride]), self.scale)
            if keep != 1:
                part.mul_(keep)

    def draw(self, rows: Sequence[int]) -> Tensor:
        """New numbers of some learners, [rows, P]."""
        return self._levels(rows)[rows].to(self.scale) * self.scale

    def _levels(self, rows: Sequence[int] | None = None) -> Tensor:
        """Odd int8 numbers [m, P], new ones for `rows` (default: all), 0 at padding; good until the next draw."""
        blocks = self.blocks
        if rows is None and self.live is None:
            words = 3 * self.words[0]
            blocks[:, :3] = np.concatenate([draw(words) for draw in self.draws]).reshape(len(blocks), 3, -1)
        else:
            for row in range(len(blocks)) if rows is None else rows:
                words = self.words[row]
                blocks[row, :3, :words] = self.draws[row](3 * words).reshape(3, words)
        first, second, third = blocks[:, 0], blocks[:, 1], blocks[:, 2]
        np.bitwise_xor(first, second, out=blocks[:, 3])
        np.bitwise_xor(first, third, out=blocks[:, 4])
        np.bitwise_xor(second, third, out=blocks[:, 5])
        np.bitwise_xor(blocks[:, 3], third, out=blocks[:, 6])
        odd = np.bitwise_or(blocks, np.uint64(0x0101010101010101), out=self.odd).view(np.int8)  # symmetric about 0
        if self.live is None:
            return torch.from_numpy(odd).flatten(1)[:, : len(self.scale)].to(self.scale.device)
        counts = enumerate(zip(self.words, self.counts, strict=True))
        mine = [torch.from_numpy(odd[row, :, : 8 * words].reshape(-1)[:count]) for row, (words, count) in counts]
        found = torch.cat(mine).to(self.scale.device)
        return torch.zeros_like(self.live, dtype=torch.int8).masked_scatter_(self.live, found)


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


def noise_of(state: State, members: Sequence[int], rngs: Sequence[np.random.Generator], sigma: float) -> Jitter:
    """Noise of standard deviation sigma for all that is learnt."""
    widths = state.weights.new_full((1, state.layout.size), sigma * 3**0.5)
    clear_unlearnt(state, widths)
    return Jitter(rngs, live_parameters(state, members), widths[0])


def clear_unlearnt(state: State, flat: Tensor) -> None:
    """Set to 0 what no gradient changes: the running statistics of batch normalisation."""
    if any(rows > GAIN + 2 for rows in state.layout.rows):
        for layer in state.layout.views(flat):
            layer.vectors[:, GAIN + 2 :] = 0


def check_number(rule: object, name: str, low: float, high: float, closed: bool = True) -> None:
    """Raise `InvalidSetting` unless the field is a number from `low` to `high`, that included if `closed`."""
    value = getattr(rule, name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
    if not number or not (low <= value <= high) or (value == high and not closed):
        ends = (
            f"from {low:g}" + (f" to {high:g}" if closed else f" to below {high:g}")
            if high < np.inf
            else f"{low:g} or more"
        )
        raise InvalidSetting(f"{type(rule).__name__} has {name}={value!r}; give a number {ends}.")
