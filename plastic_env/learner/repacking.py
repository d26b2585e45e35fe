"""Laying out the parameters of learners anew when their units have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.parameters import Layer
from plastic_env.learner.state import State, Units

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
    )
    device = state.weights.device
    axes = [_Axis.of(new, source, device) for new, source in zip(units, sources, strict=True)]
    for old_flat, new_flat in zip(
        (state.weights, *state.moments), (following.weights, *following.moments), strict=True
    ):
        start = (origin or state.initial) if old_flat is state.weights else None
        for at, (old, new) in enumerate(zip(state.layout.views(old_flat), layout.views(new_flat), strict=True)):
            below = axes[at - 1] if at else None
            _fill(old, new, None if start is None else start[at], below, axes[at], layout.blocks[at])
    return following


class _Pairs(NamedTuple):
    """Units that start anew: their learners and positions, and their slots; [units] each."""

    learner: Tensor
    position: Tensor
    slot: Tensor


@dataclass(frozen=True)
class _Axis:
    """What becomes of the units of a layer.

    source: [n, width] position before, 0 where there is none; None if whoever is kept is where it was.
    kept: [n, width] bool. slot: [n, width], 0 where there is no unit. exists: [n, width] bool.
    """

    source: Tensor | None
    kept: Tensor
    slot: Tensor
    exists: Tensor
    born: _Pairs | None

    @staticmethod
    def of(new: Units, source: Source, device: torch.device) -> _Axis:
        """The axis of a layer with these units."""

        def on(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        kept = source >= 0
        moved = (source != np.arange(source.shape[1]))[kept].any()
        learner, position = np.nonzero(new.exists & ~kept)
        born = _Pairs(on(learner), on(position), on(new.slot[learner, position])) if learner.size else None
        return _Axis(on(source.clip(0)) if moved else None, on(kept), on(new.slot.clip(0)), on(new.exists), born)


def _fill(old: Layer, new: Layer, start: Layer | None, below: _Axis | None, above: _Axis, block: int) -> None:
    """Write one layer: `old` where both ends are kept, else `start` (zeros if None).

    below: None stands for the inputs, which no edit changes.
    """
    _keep(old, new, below, above, block)
    _begin_rows(new, start, below, above, block)
    if below is not None and below.born is not None:
        _begin_columns(new, start, below.born, above, block)


def _keep(old: Layer, new: Layer, below: _Axis | None, above: _Axis, block: int) -> None:
    """Bring what is kept where it belongs, and zeros to all other places."""
    weight, vectors = old.blocks(block), old.vectors
    if above.source is not None:
        learner = torch.arange(len(weight), device=weight.device)[:, None]
        weight = weight[learner, above.source]
        vectors = vectors.gather(2, above.source[:, None].expand(-1, vectors.shape[1], -1))
    if below is not None and below.source is not None:
        weight = weight.gather(2, below.source[:, None, :, None].expand(-1, weight.shape[1], -1, block))
    target = new.blocks(block)
    rows, columns = (min(sizes) for sizes in zip(weight.shape[1:3], target.shape[1:3], strict=True))
    both = above.kept[:, :rows, None, None]
    if below is not None:
        both = both & below.kept[:, None, :columns, None]
    if rows < target.shape[1] or columns < target.shape[2]:
        target.zero_()
        new.vectors.zero_()
    target[:, :rows, :columns] = torch.where(both, weight[:, :rows, :columns], 0)
    new.vectors[..., :rows] = torch.where(above.kept[:, None, :rows], vectors[..., :rows], 0)


def _begin_rows(new: Layer, start: Layer | None, below: _Axis | None, above: _Axis, block: int) -> None:
    """Incoming weights and vectors of units that start anew."""
    if start is None or above.born is None:
        return
    learner, position, slot = above.born
    rows = start.blocks(block)[learner, slot]  # [born, slots below, block]
    if below is not None:
        rows = rows.gather(1, below.slot[learner][..., None].expand(-1, -1, block)) * below.exists[learner][..., None]
    new.blocks(block)[learner, position] = rows
    new.vectors.mT[learner, position] = start.vectors.mT[learner, slot]


def _begin_columns(new: Layer, start: Layer | None, born: _Pairs, above: _Axis, block: int) -> None:
    """Outgoing weights of units that start anew."""
    if start is None:
        return
    learner, position, slot = born
    columns = start.blocks(block).transpose(1, 2)[learner, slot]  # [born, slots above, block]
    columns = columns.gather(1, above.slot[learner][..., None].expand(-1, -1, block)) * above.exists[learner][..., None]
    new.blocks(block).transpose(1, 2)[learner, position] = columns
