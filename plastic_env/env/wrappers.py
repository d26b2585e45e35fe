"""Gymnasium wrappers for RL libraries: a menu turns actions into numbers, observations become flat vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from plastic_env.env.encoding import Action, Observation
from plastic_env.env.features import Features
from plastic_env.env.menus import Choices, Menu, recycling_menu


class MenuActions(gymnasium.ActionWrapper[Observation, Any, Action], RecordConstructorArgs):
    """Lets agents choose from a menu: actions are `Discrete`, or `MultiDiscrete` (edit, budget).

    menu: None for `recycling_menu()`.

    >>> env = MenuActions(gymnasium.make("plastic_env/MixedShiftsDigits-small-v0"))    # doctest: +SKIP
    """

    def __init__(self, env: gymnasium.Env[Observation, Action], menu: Menu | None = None) -> None:
        RecordConstructorArgs.__init__(self, menu=menu)
        gymnasium.ActionWrapper.__init__(self, env)
        episode = env.get_wrapper_attr("episode")
        self.choices = Choices(menu or recycling_menu(), episode)
        self.action_space = self.choices.space
        self._live = np.array(episode.live)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new life."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._live = info["live"]
        return observation, info

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Do what was chosen."""
        *found, info = super().step(action)
        self._live = info["live"]
        return *found, info  # type: ignore[return-value]

    def action(self, action: Any) -> Action:
        """The environment's own action."""
        return self.choices.action(action, self._live)

    def action_masks(self) -> np.ndarray:
        """Which choices are possible now, bool [items (+ budgets)]: sb3-contrib's convention. It follows from the
        number of live units alone."""
        return self.choices.masks(self._live)


class FlattenObservations(gymnasium.ObservationWrapper[np.ndarray, Any, Observation], RecordConstructorArgs):
    """Observations as one float32 vector in [-1, 1]; `env.fields` names its elements.

    fields: which, in which order (see `Features`); None for all.
    """

    def __init__(self, env: gymnasium.Env[Observation, Any], fields: Sequence[str] | None = None) -> None:
        RecordConstructorArgs.__init__(self, fields=fields)
        gymnasium.ObservationWrapper.__init__(self, env)
        layers = len(env.get_wrapper_attr("episode").capacity)
        self.features = Features.all(layers) if fields is None else Features(tuple(fields), layers)
        self.observation_space = self.features.box(env.observation_space)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the vector's elements."""
        return self.features.names

    def observation(self, observation: Observation) -> np.ndarray:
        """The vector."""
        return self.features.of(observation)
