"""`PlasticVectorEnv`: n lifetimes in one population, as a native Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from plastic_env.env.encoding import Action, Codec, EpisodeSpec, Observation
from plastic_env.env.episode import EpisodeSettings
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.rewards import Reward, find_reward, worth
from plastic_env.errors import InvalidAction, InvalidSetting, check_whole, is_whole
from plastic_env.streams.stream import Scenario


class PlasticVectorEnv(VectorEnv[Observation, Action, np.ndarray]):
    """n independent `PlasticEnv`s trained as one stacked population.

    Learner i with seed s lives the same life as a `PlasticEnv` reset with seed s, but for rounding. Autoreset is
    NEXT_STEP: the step after an episode's end ignores that learner's action and begins its next episode.
    Arguments as for `PlasticEnv`; observations, actions and infos are batched in Gymnasium's way: each of their arrays
    has [n] in front. Nothing is rendered, so that `render_mode` is None.

    Raises:
        InvalidSetting, UnknownName: as `PlasticEnv`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's convention)
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": [],
    }

    def __init__(
        self,
        scenario: Scenario,
        num_envs: int = 1,
        settings: EpisodeSettings | None = None,
        *,
        reward: str | Reward = "online_accuracy",
        illegal: str = "clip",
        render_mode: None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> None:
        if render_mode is not None:
            raise InvalidSetting(f"render_mode is {render_mode!r}; the vector environment renders nothing: give None.")
        check_whole("num_envs", num_envs)
        self.num_envs, self.render_mode = num_envs, None
        self.reward = find_reward(reward)
        self.lifetime = Lifetime(
            scenario, settings or EpisodeSettings(), num_envs, device=device, dtype=dtype, threads=threads
        )
        self.codec = Codec(self.lifetime, illegal)
        self.single_action_space = self.codec.action_space
        self.single_observation_space = self.codec.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._generators: list[np.random.Generator] = []
        self._waiting = np.zeros(num_envs, dtype=bool)  # episodes that are over

    @property
    def episode(self) -> EpisodeSpec:
        """Sizes and lengths of the episodes, and `action(...)`, which builds one learner's action."""
        return self.codec.spec

    def batch_actions(self, actions: list[Action]) -> Action:
        """One action per learner as one batched action.

        Raises:
            InvalidAction: not one action for each learner.
        """
        if len(actions) != self.num_envs:
            raise InvalidAction(f"{len(actions)} actions for {self.num_envs} learners; give one each.")
        return _stack(self.codec.action_space, actions)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new lives: of all learners, or of those that `options["reset_mask"]` (bool [n]) names.

        seed: an int s gives learner i the seed s + i; a list gives each its own (None: go on drawing).
        """
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise InvalidSetting(
                f"reset_mask is {mask!r}; give {self.num_envs} truth values, at least one of them True."
            )
        seeds = self._seeds(seed)
        if not self._generators:
            self._generators = [np_random(s)[0] for s in seeds]
        members = np.flatnonzero(mask).tolist()
        for member in members:
            if seeds[member] is not None:
                self._generators[member] = np_random(seeds[member])[0]
        self._begin(members)
        infos: dict[str, Any] = {}
        for member in members:
            infos = self._add_info(infos, self.codec.info(member), member)
        return self._observe(), infos

    def step(self, actions: Action) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Edit, train and measure every learner whose episode goes on; begin the next for the others."""
        if (self.lifetime.over & ~self._waiting).any():
            raise gymnasium.error.ResetNeeded("Some episodes have never begun: call reset() first.")
        requested, plans = {}, {}
        for member, action in enumerate(self._split(actions)):
            if not self._waiting[member]:
                requested[member], plans[member] = self.codec.decode(member, action)
        again = np.flatnonzero(self._waiting).tolist()
        outcomes = self.lifetime.step(plans)
        self._begin(again)
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=bool)
        infos: dict[str, Any] = {}
        for member in range(self.num_envs):
            outcome = outcomes.get(member)
            if outcome is not None:
                rewards[member] = worth(self.reward, outcome)
                terminated[member], truncated[member] = outcome.terminated, outcome.truncated
            infos = self._add_info(infos, self.codec.info(member, requested.get(member), outcome), member)
        self._waiting = terminated | truncated
        return self._observe(), rewards, terminated, truncated, infos

    def _split(self, actions: Action) -> list[Action]:
        if (
            not isinstance(actions, dict)
            or not actions
            or any(np.shape(part)[:1] != (self.num_envs,) for part in actions.values())
        ):
            raise InvalidAction(
                f"The batched action must be a dict of arrays with first axis {self.num_envs}; "
                "`batch_actions` makes one from a list of single actions."
            )
        return [dict(zip(actions, parts, strict=True)) for parts in zip(*actions.values(), strict=True)]

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        given: Any = seed.tolist() if isinstance(seed, np.ndarray) else seed
        if given is None:
            return [None] * self.num_envs
        if is_whole(given):
            return [int(given) + i for i in range(self.num_envs)]
        listed = isinstance(given, Sequence) and all(s is None or is_whole(s) for s in given)
        if not listed or len(given) != self.num_envs:
            raise InvalidSetting(
                f"seed is {seed!r}; give a whole number of at least 0, or a list of {self.num_envs}: such a number or "
                "None for each learner."
            )
        return [None if s is None else int(s) for s in given]

    def _begin(self, members: list[int]) -> None:
        if members:
            self.lifetime.begin({member: self._generators[member] for member in members})
            self._waiting[members] = False

    def _observe(self) -> Observation:
        return self.codec.observe_all(range(self.num_envs))


def _stack(space: spaces.Dict, items: list[dict[str, Any]]) -> dict[str, Any]:
    empty = create_empty_array(space, len(items))
    return cast("dict[str, Any]", concatenate(space, items, cast("dict[str, Any]", empty)))
