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


class Births(NamedTuple):
    """Units of one hidden layer that a rule has replaced, one entry each.

    row: among the stacked learners. incoming: [units, slots below * block] the fresh weights, of all slots.
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

    @property
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

    They are multiples of 2^-15 of their half-width, symmetric about 0: a fifth of the time that the same numbers take
    in single precision. half_widths: [m, P], 0 where nothing is to be drawn.
    """

    def __init__(self, rngs: Sequence[np.random.Generator], live: Tensor | None, half_widths: Tensor) -> None:
        self.rngs, self.live = rngs, live
        counts = [half_widths.shape[1]] * len(rngs) if live is None else live.sum(1).tolist()
        self.counts: list[int] = counts
        self.scale = half_widths / 2**15
        self.found = torch.zeros_like(half_widths, dtype=torch.int16)
        self.out = torch.empty_like(half_widths)
        self.words = np.zeros((len(rngs), -(-max(counts) // 4)), dtype=np.uint64)

    def draw(self, rows: Sequence[int] | None = None) -> Tensor:
        """Numbers [m, P], good until the next draw; of learners other than `rows` (default: all) they are old ones."""
        for row in range(len(self.rngs)) if rows is None else rows:
            words = -(-self.counts[row] // 4)
            self.words[row, :words] = self.rngs[row].bit_generator.random_raw(words)
        odd = self.words | np.uint64(0x0001000100010001)  # symmetric about 0
        numbers = torch.from_numpy(odd.view(np.int16)).to(self.found.device)
        if self.live is None:
            numbers = numbers[:, : self.found.shape[1]]
        else:
            mine = torch.cat([numbers[row, :count] for row, count in enumerate(self.counts)])
            numbers = self.found.masked_scatter_(self.live, mine)
        return torch.mul(numbers, self.scale, out=self.out)


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


def init_half_widths(state: State, members: Sequence[int], init: str, biases: bool = True) -> Tensor:
    """[m, P] half-widths of the distributions that weights and, if wanted, biases are drawn from; 0 elsewhere."""
    rule, flat = INITS[init], state.weights.new_zeros(len(members), state.layout.size)
    for layer, start in zip(state.layout.views(flat), state.initial, strict=True):
        fan_in = start.weight.shape[2]  # slots, not live units
        layer.weight.fill_(rule.weight(fan_in))
        if biases:
            layer.vectors[:, BIAS] = rule.bias(fan_in)
    live = live_parameters(state, members)
    return flat if live is None else flat.mul_(live)


def learnt_parameters(state: State, members: Sequence[int]) -> Tensor | None:
    """[m, P] bool: which stored parameters are live and changed by gradients; None if all of them."""
    live, learnt = live_parameters(state, members), torch.ones_like(state.weights[members], dtype=torch.bool)
    clear_unlearnt(state, learnt)
    if live is not None:
        learnt.logical_and_(live)
    return None if bool(learnt.all()) else learnt


def standard_noise(state: State, members: Sequence[int], rngs: Sequence[np.random.Generator]) -> Jitter:
    """Numbers of variance 1 for all that is learnt; 0 elsewhere."""
    widths = state.weights.new_full((len(members), state.layout.size), 3**0.5)
    learnt = learnt_parameters(state, members)
    return Jitter(rngs, live_parameters(state, members), widths if learnt is None else widths.mul_(learnt))


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
