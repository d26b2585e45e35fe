"""Laying out the parameters of learners anew when their units have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.parameters import Layer, of_live, pick
from plastic_env.learner.state import State, Units, resized, stored_width

Source = np.ndarray  # [n, width] each stored unit's position before, or -1 for one that starts anew or doesn't exist


def unchanged(units: Units) -> Source:
    """The source by which every unit stays where it is."""
    return np.where(units.exists, np.arange(units.slot.shape[1]), -1)


def repack(
    state: State, units: Sequence[Units], sources: Sequence[Source], origin: Sequence[Layer] | None = None
) -> State:
    """The state with new `units`: a weight is kept, with its optimizer state, if both of its ends are; else it is that
    of its slots in `origin` (the initial ones), with empty optimizer state."""
    layout = state.network.layout([layer.slot.shape[1] for layer in units])
    following = replace(
        state,
        units=tuple(units),
        layout=layout,
        weights=state.weights.new_empty(len(state.weights), layout.size),
        moments=[flat.new_empty(len(flat), layout.size) for flat in state.moments],
        unit_memory=[_carry(*layer) for layer in zip(state.unit_memory, sources, strict=True)],
    )
    device = state.weights.device
    axes = [_Axis.of(*layer, device) for layer in zip(state.units, units, sources, strict=True)]
    for old_flat, new_flat in zip(
        (state.weights, *state.moments), (following.weights, *following.moments), strict=True
    ):
        start = (origin or state.initial) if old_flat is state.weights else None
        for at, (old, new) in enumerate(zip(state.layout.views(old_flat), layout.views(new_flat), strict=True)):
            below = axes[at - 1] if at else None
            _fill(old, new, None if start is None else start[at], below, axes[at], layout.blocks[at])
    return following


def with_units(state: State, units: Mapping[int, tuple[Units, ...]], keep: bool) -> State:
    """The state with other units of some members.

    keep: whether they keep what is at a position where there was a unit before; else all of them start anew.
    """
    following, sources = [], []
    for layer, old in enumerate(state.units):
        live = old.live.copy()
        live[list(units)] = [len(mine[layer]) for mine in units.values()]
        slots = state.initial[layer].weight.shape[1]
        width = int(live.max()) if layer == len(state.network.hidden) else stored_width(int(live.max()), slots)
        source = resized(unchanged(old), width, -1)
        made = old.at(source)
        for member, mine in units.items():
            made.put(member, mine[layer])
        if not keep:
            source[list(units)] = -1
        following.append(made)
        sources.append(source)
    return repack(state, following, sources)


def _carry(memory: Tensor, source: Source) -> Tensor:
    """The memory [n, rows, width] of kept units in their new order; 0 for all others."""
    if not memory.shape[1]:
        return memory.new_zeros(len(memory), 0, source.shape[1])
    index = torch.from_numpy(source).to(memory.device)[:, None].expand(-1, memory.shape[1], -1)
    return torch.where(index >= 0, memory.gather(2, index.clamp_min(0)), 0.0)


class _Places(NamedTuple):
    """Some stored units: their learners and positions, [units] each."""

    learner: Tensor
    position: Tensor


@dataclass(frozen=True)
class _Axis:
    """What becomes of the units of a layer.

    source: [n, width] position before; of units that start anew, and at padding, their own.
    slot: [n, width], -1 where there is no unit.
    moved: units that are elsewhere than before, and where they were. cleared: places, among those that there were
    before, of nobody who is kept.
    born: units that start anew, and their slots.
    """

    source: Tensor
    slot: Tensor
    moved: tuple[_Places, Tensor] | None
    cleared: _Places | None
    born: tuple[_Places, Tensor] | None

    @staticmethod
    def of(old: Units, new: Units, source: Source, device: torch.device) -> _Axis:
        """The axis of a layer that had and has these units."""

        def on(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        def places(mask: np.ndarray, values: np.ndarray) -> tuple[_Places, Tensor] | None:
            if not mask.any():
                return None
            learner, position = np.nonzero(mask)
            return _Places(on(learner), on(position)), on(values[learner, position])

        kept, here = source >= 0, np.arange(source.shape[1])
        cleared = places(~kept & (here < old.slot.shape[1]), source)
        return _Axis(
            on(np.where(kept, source, here)),
            on(new.slot),
            places(kept & (source != here), source),
            None if cleared is None else cleared[0],
            places(new.exists & ~kept, new.slot),
        )


def _fill(old: Layer, new: Layer, start: Layer | None, below: _Axis | None, above: _Axis, block: int) -> None:
    """Write one layer: `old` where both ends are kept, else `start` (zeros if None).

    below: None stands for the inputs, which no edit changes.
    """
    _keep(old, new, below, above, block)
    if start is not None and above.born is not None:
        _begin_rows(new, start, *above.born, below, block)
    if start is not None and below is not None and below.born is not None:
        _begin_columns(new, start, *below.born, above, block)


def _keep(old: Layer, new: Layer, below: _Axis | None, above: _Axis, block: int) -> None:
    """Copy all that is stored, move what is to move, clear what is not to be kept."""
    weight, target = old.blocks(block), new.blocks(block)  # [n, units, units below, block]
    rows, columns = (min(sizes) for sizes in zip(weight.shape[1:3], target.shape[1:3], strict=True))
    target[:, :rows, :columns] = weight[:, :rows, :columns]
    target[:, :rows, columns:] = 0
    target[:, rows:] = 0
    new.vectors[..., :rows] = old.vectors[..., :rows]
    new.vectors[..., rows:] = 0
    if above.moved is not None:
        (learner, position), origin = above.moved
        target[learner, position, :columns] = weight[learner, origin, :columns]
        new.vectors.mT[learner, position] = old.vectors.mT[learner, origin]
    if below is not None and below.moved is not None:
        (learner, position), origin = below.moved
        found = weight.transpose(1, 2)[learner, origin]  # [moved, units, block]
        index = above.source[learner][:, :rows, None].expand(-1, -1, block)  # beyond, there is nobody who is kept
        target.transpose(1, 2)[learner, position, :rows] = found.gather(1, index)
    if above.cleared is not None:
        target[above.cleared] = 0
        new.vectors.mT[above.cleared] = 0
    if below is not None and below.cleared is not None:
        target.transpose(1, 2)[below.cleared] = 0


def _begin_rows(new: Layer, start: Layer, born: _Places, slot: Tensor, below: _Axis | None, block: int) -> None:
    """Incoming weights and vectors of units that start anew."""
    rows = pick(start.weight, born.learner, slot)  # [born, slots below * block]
    if below is not None:
        rows = of_live(rows.unflatten(1, (-1, block)), below.slot[born.learner]).flatten(1)
    new.weight[born] = rows
    new.vectors.mT[born] = start.vectors.mT[born.learner, slot]


def _begin_columns(new: Layer, start: Layer, born: _Places, slot: Tensor, above: _Axis, block: int) -> None:
    """Outgoing weights of units that start anew."""
    columns = start.blocks(block).transpose(1, 2)[born.learner, slot]  # [born, slots above, block]
    new.blocks(block).transpose(1, 2)[born] = of_live(columns, above.slot[born.learner])
