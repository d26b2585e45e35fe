"""Room in heads for new classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch.nn.functional as F

from plastic_env.learner.founders import units_in
from plastic_env.learner.parameters import Draw, Layer, draw_units
from plastic_env.learner.repacking import with_units
from plastic_env.learner.state import State


def widen_heads(state: State, classes: Mapping[int, int], rngs: Sequence[np.random.Generator], init: str) -> State:
    """The state with room for so many classes, by member, none fewer than there are (`Population.widen_head`).

    rngs: of all learners. init: a name in `INITS`.
    """
    most = max(len(state.initial[-1].weight[0]), *classes.values())
    initial = [*state.initial[:-1], _more_rows(state.initial[-1], most)]
    checkpoint = state.checkpoint and [*state.checkpoint[:-1], _more_rows(state.checkpoint[-1], most)]
    units = {}
    for member, wanted in classes.items():
        *hidden, head = state.units_of(member)
        new = np.arange(len(head), wanted)
        mine = initial[-1].of(member)
        draw_units(initial[-1], [Draw(member, new, rngs[member])], mine.weight.shape[1], init)
        units[member] = (*hidden, head.join(units_in(new, int(state.updates[member]), new)))
        if checkpoint:  # there, new classes wait with what they were drawn with
            checkpoint[-1].weight[member, new] = mine.weight[new]
            checkpoint[-1].vectors[member][:, new] = mine.vectors[:, new]
    return with_units(replace(state, initial=initial, checkpoint=checkpoint), units, keep=True)


def _more_rows(layer: Layer, units: int) -> Layer:
    """A copy of a layer [n, out, columns] with zeros for units up to the given number."""
    more = units - layer.weight.shape[1]
    return Layer(F.pad(layer.weight, (0, 0, 0, more)), F.pad(layer.vectors, (0, more)))
