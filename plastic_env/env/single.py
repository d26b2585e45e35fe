"""`PlasticEnv`: one learner's lifetime as a Gymnasium environment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from plastic_env.env.encoding import Action, Codec, EpisodeSpec, Observation
from plastic_env.env.episode import EpisodeSettings, Outcome, Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.picture import Painter
from plastic_env.env.rendering import COLOURS, RENDER_MODES, Frame, as_text, frame_of
from plastic_env.env.rewards import Reward, find_reward, worth
from plastic_env.env.window import Window, check_display, possible_modes
from plastic_env.errors import InvalidEdit, InvalidSnapshot, look_up
from plastic_env.learner import snapshots
from plastic_env.streams.stream import Scenario

PICTURES = 200  # of a life in a window


class PlasticEnv(gymnasium.Env[Observation, Action]):
    """Edit a network while it learns from a task stream.

    Observation: `Dict(global=Box[fields], layers=Box[editable layers, fields])`, float32 in [-1, 1]: one column for
        each of `GLOBAL_FIELDS` and of `LAYER_FIELDS` in `plastic_env.env.encoding`.
    Action: `Dict`: units to `grow`, `prune`, `recycle` in each editable layer (MultiDiscrete); the rules that
        select them, the `insertion`, `optimizer_state` and `trainability` of newborns, and what to `rewind` to
        (Discrete); `transfer_bias`, `store` and `reset` (Discrete(2)); `budget` (Discrete, from 1): updates to
        train before the next decision. `env.unwrapped.episode.action(...)` fills in what you leave out.
    Reward: by default the step's share of TAOA, so that the return is the stream's mean online accuracy.
    Ends: `terminated` when the stream is used up or the learner diverged (`info["diverged"]`), `truncated` when the
        compute cap is reached.

    Args:
        scenario: makes the streams.
        settings: how the learner lives.
        reward: a name in `REWARDS`, or a function of an `Outcome`.
        illegal: "clip" cuts counts to what is possible now and reports it in info, "raise" refuses them.
        render_mode: None, "ansi" (text), "rgb_array" (an image [height, 976, 3] uint8, of a height that the layers
            decide), or "human" (a window that follows each step, where there is a display).
        colour: what units are coloured by in pictures: "age" or (gradient) "parity".
        device, dtype: where and in which precision the learner is computed. threads: CPU threads for `fork`.

    Raises:
        InvalidSetting, UnknownName: values outside of these.

    >>> env = gymnasium.make("plastic_env/PermutedDigits-small-v0")                    # doctest: +SKIP
    >>> observation, info = env.reset(seed=0)                                    # doctest: +SKIP
    >>> action = env.unwrapped.episode.action(recycle=8, budget=100)             # doctest: +SKIP
    >>> observation, reward, terminated, truncated, info = env.step(action)      # doctest: +SKIP
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's convention)
        "render_modes": RENDER_MODES,
        "render_fps": 4,
    }  #: of an instance: the modes that can be had here

    def __init__(
        self,
        scenario: Scenario,
        settings: EpisodeSettings | None = None,
        *,
        reward: str | Reward = "online_accuracy",
        illegal: str = "clip",
        render_mode: str | None = None,
        colour: str = "age",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> None:
        if render_mode is not None:
            look_up(dict.fromkeys(RENDER_MODES), render_mode, "render mode")
        if render_mode == "human":
            check_display()
        look_up(COLOURS, colour, "colour")
        self.metadata = {**self.metadata, "render_modes": possible_modes()}
        self.render_mode, self.colour = render_mode, colour
        self.reward = find_reward(reward)
        self.lifetime = Lifetime(scenario, settings or EpisodeSettings(), device=device, dtype=dtype, threads=threads)
        self.codec = Codec(self.lifetime, illegal)
        self.action_space = self.codec.action_space
        self.observation_space = self.codec.observation_space  # type: ignore[assignment]
        self.outcomes: list[Outcome] = []
        self._painter: Painter | None = None
        self._window: Window | None = None
        if render_mode == "human":
            self.lifetime.watch(self._follow, every=max(1, self.lifetime.updates // PICTURES))

    @property
    def episode(self) -> EpisodeSpec:
        """Sizes and lengths of the episodes, and `action(...)`, which builds actions."""
        return self.codec.spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new life: a fresh learner and a fresh stream, both drawn from the seed."""
        super().reset(seed=seed)
        self.outcomes = []
        self.lifetime.begin({0: self.np_random})
        if self.render_mode == "human":
            self.render()
        return self.codec.observe(0), self.codec.info(0)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Edit, train, measure."""
        if self.lifetime.over[0]:
            raise gymnasium.error.ResetNeeded("There is no episode to go on with: call reset() first.")
        requested, possible = self.codec.decode(0, action)
        outcome = self.lifetime.step({0: possible})[0]
        self.outcomes.append(outcome)
        info = self.codec.info(0, requested, outcome)
        if self.render_mode == "human":
            self.render()
        return self.codec.observe(0), worth(self.reward, outcome), outcome.terminated, outcome.truncated, info

    def save(self, path: str | Path) -> None:
        """Write a snapshot: learner, position in the stream, generators. Outcomes of the past are not in it."""
        generator = json.dumps(self.np_random.bit_generator.state)
        snapshots.save(Path(path), {"lifetime": self.lifetime.capture(), "generator": generator})

    def load(self, path: str | Path) -> tuple[Observation, dict[str, Any]]:
        """Go on from a snapshot, bit for bit as if never interrupted; returns what `reset` returns.

        Raises:
            InvalidSnapshot: it can't be read, is damaged, holds something else, or was made by an environment with
                other settings.
        """
        captured = snapshots.load(Path(path))
        if not {"lifetime", "generator"} <= captured.keys():
            raise InvalidSnapshot(f"{path} holds no environment; load one that PlasticEnv.save wrote.")
        self.lifetime.restore(captured["lifetime"])
        self.np_random.bit_generator.state = json.loads(captured["generator"])
        self.outcomes = []
        return self.codec.observe(0), self.codec.info(0)

    def fork(self, plans: Sequence[Plan]) -> list[Outcome]:
        """What each of several plans would lead to from here, on identical batches; nothing changes here.

        The plans are carried out by copies of the learner, trained as one population.

        Raises:
            InvalidEdit, UnknownName: if any plan can't be done.
        """
        if not isinstance(plans, Sequence) or not plans:
            raise InvalidEdit(f"The plans are {plans!r}; give a list of at least one: [Plan(Edit(...), budget=...)].")
        life = self.lifetime
        weights = life.population.state.weights
        device, dtype, threads = weights.device, weights.dtype, life.population.threads
        copies = Lifetime(life.scenario, life.settings, len(plans), device=device, dtype=dtype, threads=threads)
        copies.restore(life.capture([0] * len(plans)))
        outcomes = copies.step(dict(enumerate(plans)))
        return [outcomes[at] for at in range(len(plans))]

    def render(self) -> Any:
        """The learner and its accuracy so far: text ("ansi"), or an image [height, width, 3] uint8 ("rgb_array"), or
        None once a window shows it ("human").

        Raises:
            InvalidSetting: no window can be opened.
        """
        if self.render_mode is None:
            modes = ", ".join(map(repr, self.metadata["render_modes"]))
            gymnasium.logger.warn(f"render() does nothing without a render_mode; make the env with one of {modes}.")
            return None
        frame = frame_of(self.lifetime, self.outcomes, self.colour)
        if self.render_mode == "ansi":
            return as_text(frame)
        image = self._paint(frame)
        if self.render_mode == "rgb_array":
            return image
        self._show(image)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens no window and makes its own painter."""
        return {**vars(self), "_painter": None, "_window": None}

    def _follow(self, member: int, plan: Plan, accuracy: np.ndarray) -> None:
        """Show what happens in the midst of a step."""
        self._show(self._paint(frame_of(self.lifetime, self.outcomes, self.colour, plan, accuracy)))

    def _paint(self, frame: Frame) -> np.ndarray:
        if self._painter is None:
            self._painter = Painter(frame)
        return self._painter.paint(frame)

    def _show(self, image: np.ndarray) -> None:
        if self._window is None:
            self._window = Window(image)
        self._window.show(image)
