"""All that a population is, as one record: what training changes, what edits replace, what is compared.

Edits never write into a state: they build the next one, which takes its place once it is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.network import Network
from plastic_env.learner.parameters import Layer, Layout
from plastic_env.learner.trainability import Phase

ROUND_WIDTH = 8  # stored widths are rounded up: matrix kernels like multiples of 8


@dataclass(frozen=True)
class Units:
    """The live units of one layer of one learner, in stored order; all arrays [live] int64. Classes are the head's."""

    slot: np.ndarray  # place in the layer, 0 .. capacity - 1
    id: np.ndarray  # never used twice in a learner's life
    cohort: np.ndarray  # 0 for those present from the start, then one number per edit
    born: np.ndarray  # the learner's updates at birth
    clock: np.ndarray  # the learner's updates when the unit's optimizer state was started

    def __len__(self) -> int:
        return len(self.slot)

    def take(self, positions: np.ndarray) -> Units:
        """The units at `positions`, in that order."""
        return Units(*(getattr(self, name)[positions] for name in UNIT_FIELDS))

    def join(self, other: Units) -> Units:
        """These units, then `other`."""
        return Units(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in UNIT_FIELDS))

    def put(self, positions: np.ndarray, other: Units) -> Units:
        """These units, with `other` in the given places."""
        fields = {name: getattr(self, name).copy() for name in UNIT_FIELDS}
        for name, values in fields.items():
            values[positions] = getattr(other, name)
        return Units(**fields)


UNIT_FIELDS = ("slot", "id", "cohort", "born", "clock")


COUNTERS = ("updates", "restarted", "ids", "cohorts", "frozen", "update_norms", "stored")  # arrays [n, ...] of a State


@dataclass(frozen=True)
class State:
    """n learners. Tensors are stacked over learners; bookkeeping is numpy, as decisions need it on the host.

    Layers are numbered from 0, hidden ones first, the head last.

    network: what they are made of.
    units: [learner][layer].
    initial: per layer, the initial parameters of *all* slots: weight [n, slots above, slots below * block],
        vectors [n, rows, slots above]. Dormant slots wait with these; rewinding returns to them.
    weights, moments: flat rows [n, layout.size] of live units (padded with zeros).
    updates: [n] updates made in each learner's life.
    restarted: [n] the update at which all of the optimizer state was started last.
    ids, cohorts: [n] the next unit id and cohort number of each learner.
    frozen: [n] True once a learner has diverged.
    update_norms: [n, layers] mean |change| of each layer's weights in the latest update.
    phases: per learner, the trainability rules in force.
    stored: [n] whether a learner has stored its weights; checkpoint: what it stored, for all slots like `initial`.
    """

    network: Network
    units: tuple[tuple[Units, ...], ...]
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
    checkpoint: list[Layer] | None = None

    @property
    def capacity(self) -> tuple[int, ...]:
        """Slots of each editable layer."""
        return tuple(self.network.hidden[layer].slots for layer in self.network.editable)

    def live(self, member: int) -> tuple[int, ...]:
        """Live units of each editable layer of one learner."""
        return tuple(len(self.units[member][layer]) for layer in self.network.editable)

    def widths(self, member: int) -> tuple[int, ...]:
        """Input units, live units of each hidden layer, classes of one learner."""
        return (self.network.input_units, *(len(units) for units in self.units[member]))

    def layer(self, flat: Tensor, member: int, at: int) -> Layer:
        """One learner's layer in a flat tensor, cut to its live units: views, the weight as [units, below, block]."""
        widths, layer = self.widths(member), self.layout.views(flat)[at].of(member)
        weight = layer.blocks(self.layout.blocks[at])[: widths[at + 1], : widths[at]]
        return Layer(weight, layer.vectors[:, : widths[at + 1]])

    def padded(self, layer: int, name: str, fill: int, members: Sequence[int] | None = None) -> np.ndarray:
        """One field of a layer's units for all `members`, [m, stored width]."""
        rows = range(len(self.units)) if members is None else members
        table = np.full((len(rows), self.layout.widths[layer + 1]), fill, dtype=np.int64)
        for row, member in enumerate(rows):
            units = self.units[member][layer]
            table[row, : len(units)] = getattr(units, name)
        return table


def stored_width(live: int, capacity: int) -> int:
    """Columns kept for a layer whose widest learner has `live` units."""
    return min(capacity, -(-live // ROUND_WIDTH) * ROUND_WIDTH)


Sources = tuple[np.ndarray, ...]  # per layer [live]: each unit's present position, or -1 to start anew


def unchanged(units: Sequence[Units]) -> Sources:
    """The sources by which every parameter of a learner stays where it is."""
    return tuple(np.arange(len(layer)) for layer in units)


def repack(
    state: State, units: Sequence[Sequence[Units]], sources: Sequence[Sources], origin: Sequence[Layer] | None = None
) -> State:
    """Lay out the parameters for new `units`: a weight is kept, with its optimizer state, if both of
    its ends are; else it is that of its slots in `origin` (the initial ones), with empty optimizer state."""
    n, layers = len(units), range(len(state.initial))
    live = [max(len(member[layer]) for member in units) for layer in layers]
    slots = [len(layer.weight[0]) for layer in state.initial]
    widths = [stored_width(width, most) for width, most in zip(live[:-1], slots[:-1], strict=True)]
    layout = state.network.layout((*widths, live[-1]))
    following = replace(
        state,
        units=tuple(tuple(member) for member in units),
        layout=layout,
        weights=state.weights.new_zeros(n, layout.size),
        moments=[state.weights.new_zeros(n, layout.size) for _ in state.moments],
    )
    axes = [_Axis.of(following, sources, layer) for layer in layers]
    pairs: list[tuple[Tensor, Tensor, Sequence[Layer] | None]] = [
        (state.weights, following.weights, origin or state.initial)
    ]
    pairs += [(old, new, None) for old, new in zip(state.moments, following.moments, strict=True)]
    for old_flat, new_flat, initial in pairs:
        olds, news = state.layout.views(old_flat), layout.views(new_flat)
        for at, (old, new) in enumerate(zip(olds, news, strict=True)):
            start = None if initial is None else initial[at]
            _fill(old, new, start, axes[at - 1] if at else None, axes[at], layout.blocks[at])
    return following


@dataclass(frozen=True)
class _Axis:
    """Padded indices of the units of one layer."""

    source: Tensor  # [n, width] present position, 0 where there is none
    slot: Tensor  # [n, width], 0 where there is none
    kept: Tensor  # [n, width] bool
    exists: Tensor  # [n, width] bool

    @staticmethod
    def of(state: State, sources: Sequence[Sources], layer: int) -> _Axis:
        slot = state.padded(layer, "slot", -1)
        source = np.full_like(slot, -1)
        for row, origin in enumerate(sources):
            source[row, : len(origin[layer])] = origin[layer]
        arrays = (source.clip(0), slot.clip(0), source >= 0, slot >= 0)
        return _Axis(*(torch.from_numpy(array).to(state.weights.device) for array in arrays))


def _fill(old: Layer, new: Layer, initial: Layer | None, below: _Axis | None, above: _Axis, block: int) -> None:
    """Write one layer: `old` where both ends are kept, else `initial` (zeros if None).

    below: None stands for the inputs, which no edit changes.
    """
    kept, exists = above.kept[:, :, None, None], above.exists[:, :, None, None]  # [n, out, 1, 1]
    if below is not None:
        kept, exists = kept & below.kept[:, None, :, None], exists & below.exists[:, None, :, None]
    weight = _gather(old.blocks(block), above.source, None if below is None else below.source)
    vectors = _gather_rows(old.vectors, above.source)
    weight, vectors = torch.where(kept, weight, 0), torch.where(above.kept[:, None], vectors, 0)
    if initial is not None:
        fresh = _gather(initial.blocks(block), above.slot, None if below is None else below.slot)
        weight = torch.where(kept, weight, torch.where(exists, fresh, 0))
        start = _gather_rows(initial.vectors, above.slot)
        vectors = torch.where(above.kept[:, None], vectors, torch.where(above.exists[:, None], start, 0))
    new.blocks(block).copy_(weight)
    new.vectors.copy_(vectors)


def _gather(weight: Tensor, rows: Tensor, columns: Tensor | None) -> Tensor:
    """weight[i, rows[i], columns[i]] for every learner i: [n, len(rows), len(columns), block]."""
    n = torch.arange(len(weight), device=weight.device)
    if columns is None:
        return weight[n[:, None], rows]
    return weight[n[:, None, None], rows[:, :, None], columns[:, None, :]]


def _gather_rows(vectors: Tensor, units: Tensor) -> Tensor:
    return vectors.gather(2, units[:, None].expand(-1, vectors.shape[1], -1))
