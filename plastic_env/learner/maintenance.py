"""Maintenance: what keeps a learner plastic without touching its structure, between and within its updates.

A rule is a frozen setting in `LearnerSettings.maintenance`. It may add to the gradients before the optimizer, act on
the weights after it, or dress the activation function while training. Rules act in the order they are given in. Only
live units count, and padding stays zero. A rule keeps numbers per unit only: they lie in the `unit_memory` of the
state, travel with their units through edits, are 0 for newborns, and are in snapshots.

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
from plastic_env.learner.parameters import BIAS, Layer, of_live

if TYPE_CHECKING:
    from plastic_env.learner.network import Trace
    from plastic_env.learner.settings import LearnerSettings
    from plastic_env.learner.state import State


class Reborn(NamedTuple):
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
    weights: [m, P]. unit_memory: per stage, the head included, [m, rows, width] this rule's numbers per unit.
    due_units: [m, hidden layers] how many units are due to be replaced, fractions included. rngs: the learners'
    generators. init: how fresh weights are drawn.
    coming: how many updates ahead a rule may draw, since it alone uses the generators; else 0.
    """

    state: State
    members: list[int]
    weights: Tensor
    unit_memory: list[Tensor]
    due_units: np.ndarray
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


def retarget(stretch: Stretch, target: Tensor, reborn: Reborn) -> None:
    """Write the initial weights of replaced units into the initial weights `target` [m, P]; biases start at 0."""
    layer = stretch.state.layout.views(target)[reborn.layer]
    layer.weight[reborn.row, reborn.position] = live_columns(stretch, reborn).to(layer.weight)
    layer.vectors[reborn.row, BIAS, reborn.position] = 0


def live_columns(stretch: Stretch, reborn: Reborn) -> Tensor:
    """[units, stored columns] of the fresh weights: those from live units below, in stored order; 0 at padding."""
    incoming = torch.from_numpy(reborn.incoming)
    if reborn.layer == 0:
        return incoming
    slot = stretch.state.units[reborn.layer - 1].slot[stretch.members][reborn.row]  # [units, width below]
    block = stretch.state.network.blocks[reborn.layer]
    return of_live(incoming.unflatten(1, (-1, block)), torch.from_numpy(slot)).flatten(1)


class Upkeep:
    """A rule at work; this one does nothing."""

    def gradients(self, gradients: Tensor) -> None:
        """Look at the loss gradients [m, P] before the optimizer does, or add to them."""

    def weights(self, step: int, trace: Trace) -> list[Reborn]:
        """Act on the weights after update number `step` of the stretch; say who has been replaced.

        trace: of the update's forward pass.
        """
        return []

    def reborn(self, reborn: Reborn) -> None:
        """Units have been replaced, by this rule or another one; their memory is 0."""

    def finish(self, updates: int) -> None:
        """So many updates have been made, and the stretch is over: leave the memory as it is to be kept."""


class Maintenance(Protocol):
    """A rule; frozen settings only, its state lies with the population."""

    @property
    def memory_rows(self) -> int:
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


class MaintenanceRule:
    """What rules share: they leave alone what they don't override."""

    memory_rows = 0
    needs_gradients = False

    def check(self, learner: LearnerSettings) -> None:
        """Anything goes."""

    def dress(self, function: Activation) -> Activation:
        """The function as it is."""
        return function

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Nothing to do."""
        return Upkeep()
