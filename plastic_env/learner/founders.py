"""What learners begin with: units, those that their settings say or those of a given mask, and room for all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from plastic_env.errors import InvalidSetting, is_whole
from plastic_env.learner.network import Network
from plastic_env.learner.settings import LearnerSettings
from plastic_env.learner.state import State, Units, stored_width

Slots = Sequence[Sequence[int]]  # live slots of each editable layer, in any order


def founders(network: Network, settings: LearnerSettings, live_slots: Slots | None = None) -> tuple[Units, ...]:
    """One learner's units [live] of each hidden layer, in the order of their slots, and its classes.

    live_slots: checked ones of each editable layer; None: the first slots, as many as the settings say. Layers that
        aren't editable are whole.
    """
    wanted = [np.arange(settings.live_of(spec)) for spec in settings.layers]
    if live_slots is not None:
        for layer, slots in zip(network.editable, live_slots, strict=True):
            wanted[layer] = np.sort(np.array(slots, dtype=np.int64))
    layers, first = [], 0
    for places in wanted:
        layers.append(units_in(places, 0, first + np.arange(len(places))))
        first += len(places)
    classes = np.arange(network.head.slots)
    return (*layers, units_in(classes, 0, classes))  # classes are numbered by themselves


def blank_state(network: Network, settings: LearnerSettings, n: int, like: Tensor) -> State:
    """n learners that have units but no weights: all tensors [n, ...] are 0, typed and placed as `like`."""
    stages, first = network.stages, founders(network, settings)
    live = [len(units) for units in first[:-1]]
    widths = [stored_width(units, stage.slots) for units, stage in zip(live, network.hidden, strict=True)]
    widths.append(network.head.slots)
    units = tuple(Units.empty(n, width) for width in widths)
    for layer, mine in zip(units, first, strict=True):
        for member in range(n):
            layer.put(member, mine)
    layout, whole = network.layout(widths), network.layout([stage.slots for stage in stages])
    rows = sum(rule.memory_rows for rule in settings.maintenance)
    count = partial(np.zeros, n, dtype=np.int64)
    return State(
        network=network,
        units=units,
        initial=whole.views(like.new_zeros(n, whole.size)),
        layout=layout,
        weights=like.new_zeros(n, layout.size),
        moments=[like.new_zeros(n, layout.size) for _ in range(settings.optimizer.moments)],
        updates=count(),
        restarted=count(),
        ids=count(),
        cohorts=count(),
        frozen=np.zeros(n, dtype=bool),
        update_norms=np.zeros((n, len(stages))),
        phases=((),) * n,
        stored=np.zeros(n, dtype=bool),
        unit_memory=[like.new_zeros(n, rows, width) for width in widths],
        due_units=np.zeros((n, len(network.hidden))),
    )


def units_in(slots: np.ndarray, now: int, ids: np.ndarray) -> Units:
    """Units [live] of the first cohort, number 0, in the given slots, born at the learner's update `now`."""
    fixed = np.full(len(slots), now)
    return Units(slots, ids, np.zeros(len(slots), dtype=np.int64), fixed, fixed)


def check_live_slots(live_slots: Mapping[int, Slots], capacity: Sequence[int]) -> None:
    """Refuse masks, by member, that no learner can begin with.

    capacity: slots of each editable layer.

    Raises:
        InvalidSetting: other layers, none or twice the same, or slots that there aren't.
    """
    for member, layers in live_slots.items():
        if not _listed(layers) or len(layers) != len(capacity):
            raise InvalidSetting(
                f"live_slots of learner {member} is {layers!r}; give one sequence of slots for each of the "
                f"{len(capacity)} editable layers."
            )
        for layer, (slots, most) in enumerate(zip(layers, capacity, strict=True)):
            sound = _listed(slots) and all(is_whole(slot) and slot < most for slot in slots)
            if not sound or not len(slots) or len(set(slots)) < len(slots):
                raise InvalidSetting(
                    f"live_slots of learner {member} in editable layer {layer} is {slots!r}; give at least one slot, "
                    f"each once, from 0 to {most - 1}."
                )


def _listed(values: object) -> bool:
    return isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str)
