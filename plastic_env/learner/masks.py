"""Which of the stored parameters count: those of live units, and those that gradients change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plastic_env.learner.parameters import GAIN
from plastic_env.learner.state import State


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


def learnt_parameters(state: State, members: Sequence[int]) -> Tensor | None:
    """[m, P] bool: which stored parameters are live and changed by gradients; None if all of them."""
    live, learnt = live_parameters(state, members), torch.ones_like(state.weights[members], dtype=torch.bool)
    clear_unlearnt(state, learnt)
    if live is not None:
        learnt.logical_and_(live)
    return None if bool(learnt.all()) else learnt


def clear_unlearnt(state: State, flat: Tensor) -> None:
    """Set to 0 in `flat` [m, P] what no gradient changes: the running statistics of batch normalisation."""
    if any(rows > GAIN + 2 for rows in state.layout.rows):
        for layer in state.layout.views(flat):
            layer.vectors[:, GAIN + 2 :] = 0
