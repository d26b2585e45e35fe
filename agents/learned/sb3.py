"""Populations as environments of stable-baselines3, which importing this needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from plastic_env.env.features import Features
from plastic_env.env.menus import Choices, Menu, recycling_menu
from plastic_env.env.vector import PlasticVectorEnv
from plastic_env.errors import InvalidSetting


class PlasticVecEnv(VecEnv):
    """A `PlasticVectorEnv` as a stable-baselines3 `VecEnv`, with actions from a menu and flat observations.

    The vector environment begins new episodes in the step after an end; here, as stable-baselines3 wants it, an end is
    answered with the next episode's first observation, and the last one is `infos[i]["terminal_observation"]`.

    Args:
        env: the learners.
        menu: None for `recycling_menu()`. fields: which observations, in which order; None for all (see `Features`).
        seeds: each episode's seed; None: as `seed()` says, then drawn on from there.
        twins: by seed, [updates + 1] a share of TAOA up to each update, which is subtracted from rewards.
        scale: what rewards are multiplied by.

    Raises:
        InvalidSetting: twins without seeds. UnknownName: no such field.
    """

    def __init__(
        self,
        env: PlasticVectorEnv,
        menu: Menu | None = None,
        fields: Sequence[str] | None = None,
        *,
        seeds: Iterator[int] | None = None,
        twins: Mapping[int, np.ndarray] | None = None,
        scale: float = 1.0,
    ) -> None:
        if twins and seeds is None:
            raise InvalidSetting("Twins are known by their seeds: give seeds, too.")
        layers = len(env.episode.capacity)
        self.env, self.seeds, self.twins, self.scale = env, seeds, twins or {}, scale
        self.choices = Choices(menu or recycling_menu(), env.episode)
        self.features = Features.all(layers) if fields is None else Features(tuple(fields), layers)
        super().__init__(env.num_envs, self.features.box(env.single_observation_space), self.choices.space)
        self._live = np.tile(env.episode.live, (env.num_envs, 1))
        self._lived = np.zeros(env.num_envs, dtype=np.int64)  # updates
        self._returns, self._lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=np.int64)
        self._seed_of: list[int | None] = [None] * env.num_envs
        self._actions: np.ndarray = np.zeros(0)

    def reset(self) -> np.ndarray:
        """Begin a new life of every learner; returns observations [n, fields]."""
        observations = self._begin(np.ones(self.num_envs, dtype=bool), self._seeds)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Remember what was chosen, [n] or [n, 2]."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Do it; returns observations [n, fields], rewards [n], ends [n], and infos."""
        pairs = zip(self._actions, self._live, strict=True)
        actions = self.env.batch_actions([self.choices.action(choice, live) for choice, live in pairs])
        seen, rewards, terminated, truncated, batched = self.env.step(actions)
        rewards = self.scale * (rewards - self._twins_share(batched["updates"]))
        self._live, self._lived = batched["live"], batched["updates"].copy()
        self._returns += rewards
        self._lengths += 1
        ends, observations = terminated | truncated, self.features.of(seen)
        plain = {name: values for name, values in batched.items() if not name.startswith("_")}
        infos = [{name: values[at] for name, values in plain.items()} for at in range(self.num_envs)]
        for at, info in enumerate(infos):
            info["TimeLimit.truncated"] = bool(truncated[at] and not terminated[at])
            if ends[at]:
                info["terminal_observation"] = observations[at]
                info["episode"] = {"r": self._returns[at], "l": int(self._lengths[at])}
        if ends.any():
            observations = self._begin(ends, [None] * self.num_envs)
        return observations, rewards.astype(np.float32), ends, infos

    def action_masks(self) -> np.ndarray:
        """Which choices are possible now, bool [n, items (+ budgets)]."""
        return self.choices.masks(self._live)

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector environment, once per learner asked for."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the vector environment: learners have none of their own."""
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """`action_masks` of the learners asked for; there is no other method per learner."""
        if method_name != "action_masks":
            raise AttributeError(f"Learners of a population have no method {method_name!r} of their own.")
        masks = self.action_masks()
        return [masks[at] for at in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """They aren't, but tell of returns and lengths like a `Monitor`."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def _begin(self, who: np.ndarray, seeds: Sequence[int | None]) -> np.ndarray:
        given = [next(self.seeds) if self.seeds is not None and new else s for s, new in zip(seeds, who, strict=True)]
        observations, infos = self.env.reset(seed=given, options={"reset_mask": who})
        self._live = np.where(who[:, None], infos["live"], self._live)
        self._lived[who] = self._returns[who] = self._lengths[who] = 0
        self._seed_of = [s if new else former for s, new, former in zip(given, who, self._seed_of, strict=True)]
        for at in np.flatnonzero(who).tolist():
            self.reset_infos[at] = {name: v[at] for name, v in infos.items() if not name.startswith("_")}
        return self.features.of(observations)

    def _twins_share(self, now: np.ndarray) -> np.ndarray:
        """[n] what the twins earned in the same updates."""
        if not self.twins:
            return np.zeros(self.num_envs)
        curves = [self.twins[seed] for seed in self._seed_of if seed is not None]
        return np.array([c[to] - c[start] for c, start, to in zip(curves, self._lived, now, strict=True)])
