"""The units that learners begin with: those that their settings say, or those of a given mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from plastic_env.errors import InvalidSetting, is_whole
from plastic_env.learner.network import Network
from plastic_env.learner.settings import LearnerSettings
from plastic_env.learner.state import Units

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
        layers.append(newborn_units(places, 0, first + np.arange(len(places))))
        first += len(places)
    classes = np.arange(network.head.slots)
    return (*layers, newborn_units(classes, 0, classes))  # classes are numbered by themselves


def newborn_units(slots: np.ndarray, now: int, ids: np.ndarray) -> Units:
    """Units [live] of no cohort in the given slots, born at the learner's update `now`."""
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
