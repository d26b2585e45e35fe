"""Laying out the parameters of learners anew when their units have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    axes = [_Axis.of(old, new, source, device) for old, new, source in zip(state.units, units, sources, strict=True)]
    for old_flat, new_flat in zip(
        (state.weights, *state.moments), (following.weights, *following.moments), strict=True
    ):
        start = (origin or state.initial) if old_flat is state.weights else None
        for at, (old, new) in enumerate(zip(state.layout.views(old_flat), layout.views(new_flat), strict=True)):
            below = axes[at - 1] if at else _INPUTS
            _fill(old, new, None if start is None else start[at], below, axes[at], layout.blocks[at])
    return following


@dataclass(frozen=True)
class _Axis:
    """Which units of a layer are kept, and where they and the others come from; None where that is trivial."""

    source: Tensor | None  # [n, width] position before; None: all are where they were
    kept: Tensor | None  # [n, width] bool; None: all, padding included
    slot: Tensor | None  # [n, width]; 0 where there is no unit
    exists: Tensor | None  # [n, width] bool
    born: bool  # whether any unit starts anew

    @staticmethod
    def of(old: Units, new: Units, source: Source, device: torch.device) -> _Axis:
        kept = source >= 0
        slot, exists = _on(new.slot.clip(0), device), _on(new.exists, device)
        if all(np.array_equal(source, unchanged(units)) for units in (old, new)):
            return _Axis(None, None, slot, exists, born=False)
        born = bool((new.exists & ~kept).any())
        return _Axis(_on(source.clip(0), device), _on(kept, device), slot, exists, born)


_INPUTS = _Axis(None, None, None, None, born=False)  # no edit changes them


def _on(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


def _fill(old: Layer, new: Layer, start: Layer | None, below: _Axis, above: _Axis, block: int) -> None:
    """Write one layer: `old` where both ends are kept, else `start` (zeros if None)."""
    if above.source is None and below.source is None:
        new.weight.copy_(old.weight)
        new.vectors.copy_(old.vectors)
        return
    weight = _columns(_rows(old.blocks(block), above.source), below.source)
    vectors = old.vectors if above.source is None else _units(old.vectors, above.source)
    kept = _both(above.kept, below.kept)
    fresh: Tensor | float = 0.0
    fresh_vectors: Tensor | float = 0.0
    if start is not None and (above.born or below.born):
        exists = _both(above.exists, below.exists)
        fresh = torch.where(exists, _columns(_rows(start.blocks(block), above.slot), below.slot), 0.0)
        if above.born and above.slot is not None and above.exists is not None:
            fresh_vectors = torch.where(above.exists[:, None], _units(start.vectors, above.slot), 0.0)
    target = new.blocks(block)
    target.copy_(torch.where(kept, weight, fresh))
    new.vectors.copy_(vectors if above.kept is None else torch.where(above.kept[:, None], vectors, fresh_vectors))


def _both(above: Tensor | None, below: Tensor | None) -> Tensor:
    """[n, above, below, 1] where both hold; an axis that is None holds everywhere."""
    if below is None:
        assert above is not None
        return above[:, :, None, None]
    if above is None:
        return below[:, None, :, None]
    return (above[:, :, None] & below[:, None, :])[..., None]


def _rows(weight: Tensor, index: Tensor | None) -> Tensor:
    """weight[i, index[i]] of [n, rows, columns, block]."""
    if index is None:
        return weight
    return weight[torch.arange(len(weight), device=weight.device)[:, None], index]


def _columns(weight: Tensor, index: Tensor | None) -> Tensor:
    """weight[i, :, index[i]] of [n, rows, columns, block]."""
    if index is None:
        return weight
    return weight.gather(2, index[:, None, :, None].expand(-1, weight.shape[1], -1, weight.shape[3]))


def _units(vectors: Tensor, index: Tensor) -> Tensor:
    return vectors.gather(2, index[:, None].expand(-1, vectors.shape[1], -1))
