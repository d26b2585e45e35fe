"""Observations as flat vectors, of one learner or of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from plastic_env.env.encoding import GLOBAL_FIELDS, LAYER_FIELDS
from plastic_env.errors import look_up


@dataclass(frozen=True)
class Features:
    """Observations as vectors.

    names: what they hold, in order: a global field ("accuracy"), a field of one editable layer ("layer0.dormant"), or
        its mean over them ("mean.dormant"). layers: how many layers there are.

    Raises:
        UnknownName: there is no such field.
    """

    names: tuple[str, ...]
    layers: int

    def __post_init__(self) -> None:
        _ = self._columns  # complain now

    @staticmethod
    def all(layers: int) -> Features:
        """Every field: the global ones, then layer by layer, as `GLOBAL_FIELDS` and `LAYER_FIELDS` list them."""
        return Features(_flat_names(layers), layers)

    def of(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """[..., names] float32, of one observation or a stack of them."""
        layers = observation["layers"]
        flat = layers.reshape(*layers.shape[:-2], -1)
        whole = np.concatenate([observation["global"], flat, layers.mean(-2)], -1)
        return whole[..., self._columns].astype(np.float32)

    def box(self, space: spaces.Space[Any]) -> spaces.Box:
        """The space of such vectors, given that of observations."""
        assert isinstance(space, spaces.Dict)
        parts = {name: part for name, part in space.items() if isinstance(part, spaces.Box)}
        low, high = (self.of({name: getattr(part, end) for name, part in parts.items()}) for end in ("low", "high"))
        return spaces.Box(low, high)

    @cached_property
    def _columns(self) -> np.ndarray:
        known = {name: at for at, name in enumerate((*_flat_names(self.layers), *(f"mean.{n}" for n in LAYER_FIELDS)))}
        return np.array([look_up(known, name, "field of observations") for name in self.names], dtype=np.int64)


def _flat_names(layers: int) -> tuple[str, ...]:
    return (*GLOBAL_FIELDS, *(f"layer{layer}.{name}" for layer in range(layers) for name in LAYER_FIELDS))
