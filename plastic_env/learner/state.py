"""All that a population is, as one record: what training changes, and what edits replace.

Edits never write into a state: they build the next one, which takes its place once it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.network import Network
from plastic_env.learner.parameters import Layer, Layout, of_live, pick
from plastic_env.learner.trainability import Phase

ROUND_WIDTH = 8  # stored widths are rounded up: matrix kernels like multiples of 8


@dataclass(frozen=True)
class Units:
    """The live units of one layer in stored order, int64 arrays [n, width]; slots are -1 where a learner has fewer.

    Classes are the units of the head. `of` gives one learner's, [live].
    """

    slot: np.ndarray  #: place in the layer, 0 .. capacity - 1
    id: np.ndarray  #: never used twice in a learner's life
    cohort: np.ndarray  #: 0 for those present from the start, then one number per edit or update that bore units
    born: np.ndarray  #: the learner's updates at birth
    clock: np.ndarray  #: the learner's updates when the unit's optimizer state was started

    @staticmethod
    def empty(n: int, width: int) -> Units:
        """Room for the units of n learners: slots, ids and cohorts are -1, the rest 0."""
        return Units(*(np.full((n, width), fill) for fill in EMPTY))

    def __len__(self) -> int:
        return len(self.slot)

    @cached_property
    def exists(self) -> np.ndarray:
        """[n, width] bool: a unit, no padding."""
        return self.slot >= 0

    @cached_property
    def live(self) -> np.ndarray:
        """[n] how many."""
        return self.exists.sum(1)

    def of(self, member: int) -> Units:
        """One learner's, without padding; a view."""
        live = int(self.live[member])
        return Units(*(getattr(self, name)[member, :live] for name in UNIT_FIELDS))

    def put(self, member: int, mine: Units) -> None:
        """Overwrite one learner's units by `mine`, [live]; only while nobody else holds this record."""
        for name, empty in zip(UNIT_FIELDS, EMPTY, strict=True):
            row = getattr(self, name)[member]
            row[: len(mine)], row[len(mine) :] = getattr(mine, name), empty

    def join(self, more: Units) -> Units:
        """One learner's units, then more of them."""
        return Units(*(np.concatenate([getattr(self, name), getattr(more, name)]) for name in UNIT_FIELDS))

    def at(self, origin: np.ndarray) -> Units:
        """A copy in another order: at each place who was at `origin` [n, width], nobody where that is -1."""
        n, width = self.slot.shape
        table = np.stack([getattr(self, name) for name in UNIT_FIELDS]).reshape(len(UNIT_FIELDS), -1)
        found = table.take(origin.clip(0) + width * np.arange(n)[:, None], 1)
        return Units(*np.where(origin >= 0, found, np.array(EMPTY)[:, None, None]))


def resized(table: np.ndarray, width: int, fill: int) -> np.ndarray:
    """A copy of [n, columns] with columns cut off or filled up."""
    made = np.full((len(table), width), fill, dtype=table.dtype)
    made[:, : table.shape[1]] = table[:, :width]
    return made


UNIT_FIELDS = ("slot", "id", "cohort", "born", "clock")
EMPTY = (-1, -1, -1, 0, 0)  # what stands in their place where there is no unit


PER_LEARNER = (
    "updates",
    "restarted",
    "ids",
    "cohorts",
    "frozen",
    "update_norms",
    "stored",
    "due_units",
)  # arrays [n, ...] of a State


@dataclass(frozen=True)
class State:
    """n learners. Tensors are stacked over learners; bookkeeping is numpy, as decisions need it on the host.

    Layers are numbered from 0, hidden ones first, the head last.

    network: what they are made of.
    units: of each layer.
    initial: per layer, the initial parameters of *all* slots: weight [n, slots above, slots below * block],
        vectors [n, rows, slots above]. Dormant slots wait with these; rewinding returns to them.
    weights, moments: flat rows [n, layout.size] of live units (padded with zeros).
    updates: [n] updates made in each learner's life.
    restarted: [n] the update at which all of the optimizer state was started last.
    ids, cohorts: [n] the next unit id and cohort number of each learner.
    frozen: [n] True once a learner has diverged.
    update_norms: [n, layers] mean |change| of each layer's weights in the latest update.
    phases: per learner, the trainability rules in force.
    unit_memory: per layer [n, rows, width], what maintenance keeps of each unit; 0 for newborns and at padding.
    due_units: [n, hidden layers] how many units maintenance is still to replace, fractions included.
    stored: [n] whether a learner has stored its weights; checkpoint: what it stored, for all slots like `initial`.
    """

    network: Network
    units: tuple[Units, ...]
    initial: list[Layer]
    layout: Layout
    weights: Tensor
    moments: list[Tensor]
    updates: np.ndarray
    restarted: np.ndarray
    ids: np.ndarray
    cohorts: np.ndarray
    frozen: np.ndarray
    update_norms: np.ndarray
    phases: tuple[tuple[Phase, ...], ...]
    stored: np.ndarray
    unit_memory: list[Tensor]
    due_units: np.ndarray
    checkpoint: list[Layer] | None = None

    @property
    def capacity(self) -> tuple[int, ...]:
        """Slots of each editable layer."""
        return tuple(self.network.hidden[layer].slots for layer in self.network.editable)

    @cached_property
    def live_initial(self) -> Tensor:
        """[n, P] the initial weights of the live units, laid out as they are; 0 at padding."""
        flat, below = torch.zeros_like(self.weights), None
        learner = torch.arange(len(flat), device=flat.device)[:, None]
        for at, (target, initial) in enumerate(zip(self.layout.views(flat), self.initial, strict=True)):
            slot = torch.from_numpy(self.units[at].slot).to(flat.device)
            exists, slot = slot >= 0, slot.clamp_min(0)
            rows = pick(initial.weight, learner, slot)  # [n, width, slots below * block]
            if below is not None:
                rows = of_live(rows.unflatten(2, (-1, self.layout.blocks[at])), below[:, None]).flatten(2)
            target.weight.copy_(rows.mul_(exists[..., None]))
            target.vectors.copy_(initial.vectors.mT[learner, slot].mul_(exists[..., None]).mT)
            below = torch.where(exists, slot, -1)
        return flat

    def units_of(self, member: int) -> tuple[Units, ...]:
        """One learner's units, layer by layer."""
        return tuple(units.of(member) for units in self.units)

    def live(self, member: int) -> tuple[int, ...]:
        """Live units of each editable layer of one learner."""
        return tuple(int(self.units[layer].live[member]) for layer in self.network.editable)

    def live_slots(self, member: int) -> tuple[tuple[int, ...], ...]:
        """Which slots of each editable layer of one learner are live, ascending."""
        return tuple(tuple(np.sort(self.units[layer].of(member).slot).tolist()) for layer in self.network.editable)

    def classes(self, member: int) -> int:
        """Classes of one learner."""
        return int(self.units[-1].live[member])

    def widths(self, member: int) -> tuple[int, ...]:
        """Input units, live units of each hidden layer, classes of one learner."""
        return (self.network.input_units, *(int(units.live[member]) for units in self.units))

    def layer(self, flat: Tensor, member: int, at: int) -> Layer:
        """One learner's layer in a flat tensor, cut to its live units: views, the weight as [units, below, block]."""
        widths, layer = self.widths(member), self.layout.views(flat)[at].of(member)
        weight = layer.blocks(self.layout.blocks[at])[: widths[at + 1], : widths[at]]
        return Layer(weight, layer.vectors[:, : widths[at + 1]])


def stored_width(live: int, capacity: int) -> int:
    """Columns kept for a layer whose widest learner has `live` units."""
    return min(capacity, -(-live // ROUND_WIDTH) * ROUND_WIDTH)
