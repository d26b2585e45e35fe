"""Structural edits at shifts: the paper's methods and the controls it lacks.

All act when a new task starts and otherwise train on, so they need boundaries="decision". Those that change
width do it in equal events over the first part of the stream and, by default, end at the same width.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from plastic_env.env.encoding import Action, EpisodeSpec, Observation, global_field
from plastic_env.errors import InvalidSetting, is_whole

TARGET = 0.5  # of the slots live in the end: the same for growing and pruning, as in arXiv 2605.15435


@dataclass
class Dense:
    """Never edits."""

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Remember the episode's sizes."""
        self.episode = episode

    def act(self, observation: Observation, info: dict[str, Any]) -> Action:
        """Edit at shifts; train to the next one."""
        return self.episode.action(**(self.edit(observation, info) if info["shift"] else {}))

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """What to do at a shift, as arguments of `EpisodeSpec.action`."""
        return {}


@dataclass
class Reset(Dense):
    """Draws everything anew at every shift: no plasticity is lost, and nothing is kept."""

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Reset."""
        return {"reset": True}


@dataclass
class Bearing(Dense):
    """Base of agents that bring newborns: how these enter.

    insertion: their weights, a name in `INSERTIONS`. optimizer_state: what their optimizer state starts as, a name in
        `OPTIMIZER_STATES`. trainability: how fast they learn at first, a name in `TRAINABILITY`.
    """

    insertion: str = "dormant"
    optimizer_state: str = "fresh"
    trainability: str = "none"

    @property
    def entering(self) -> dict[str, Any]:
        """The three, as arguments of `EpisodeSpec.action`."""
        return {name: getattr(self, name) for name in ("insertion", "optimizer_state", "trainability")}


@dataclass
class Recycle(Bearing):
    """At every shift, replaces the least useful units of each layer by newborns.

    insertion: how newborns enter (see `Bearing`). fraction: of the live units. rule: how they are chosen.

    Raises:
        InvalidSetting: a fraction outside of [0, 1].
    """

    insertion: str = "fresh"
    fraction: float = 0.125
    rule: str = "utility"

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise InvalidSetting(f"fraction is {self.fraction!r}; give a number from 0 to 1.")

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Replace `fraction` of the live units."""
        counts = np.round(self.fraction * info["live"]).astype(np.int64)
        return {"recycle": counts, "recycle_rule": self.rule, **self.entering}


@dataclass
class Staged(Dense):
    """Base of methods that act at a given number of events over the stream's first part.

    The events fall into the middle of equal stretches, so that the mean width over time does not depend
    on their number. events: how many. until: the fraction of the stream that is cut into stretches.

    Raises:
        InvalidSetting: no whole number of events of at least 1, or a fraction outside of (0, 1].
    """

    events: int = 20
    until: float = 0.5

    def __post_init__(self) -> None:
        if not is_whole(self.events, 1):
            raise InvalidSetting(f"events is {self.events!r}; give a whole number of at least 1.")
        if not 0 < self.until <= 1:
            raise InvalidSetting(f"until is {self.until!r}; give a fraction in (0, 1].")

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Start counting events."""
        super().reset(episode, seed)
        self.done = 0

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Act if another event is due; one action catches up with several."""
        stretches = self.events * global_field(observation, "progress") / self.until
        due = min(self.events, int(stretches + 0.5 + 1e-4))  # progress is single precision
        if due <= self.done:
            return {}
        wanted = self.stage(due, info)
        self.done = due
        return wanted

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """What to do now that `due` events should have happened, of which `self.done` have."""
        return {}


@dataclass
class Grow(Bearing, Staged):
    """Adds dormant units until a fraction `target` of the slots is live (arXiv 2605.15435, Grow).

    target: one fraction, or one for each layer. rule: how they are chosen. Nothing is rewound, and newborns replace
        nobody.
    """

    target: float | tuple[float, ...] = TARGET
    rule: str = "activation"

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """Grow to the width that is due."""
        first, slots = np.array(self.episode.live), np.array(self.episode.capacity)
        final = np.maximum(first, np.round(np.array(self.target) * slots))
        width = np.round(first + (final - first) * due / self.events).astype(np.int64)
        return {"grow": np.maximum(0, width - info["live"]), "grow_rule": self.rule, **self.entering}


@dataclass
class Prune(Staged):
    """Iterative magnitude pruning to a fraction `target` of the slots (arXiv 2605.15435, IMP).

    In each event ceil(q / events left) units go, q being still to remove. target: one fraction, or one for each layer.
    rewind: whether the survivors then return to their initial weights, as in the paper.
    """

    target: float | tuple[float, ...] = TARGET
    rewind: bool = True

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """Prune to the width that is due."""
        live = info["live"]
        final = np.maximum(1, np.round(np.array(self.target) * np.array(self.episode.capacity))).astype(np.int64)
        excess = np.maximum(0, live - final)
        for event in range(self.done, due):  # more than one if shifts are rarer than events
            excess = excess - np.array([ceil(q / (self.events - event)) for q in excess])
        return {"prune": live - final - excess, "rewind": "initial" if self.rewind else "none"}


@dataclass
class DenseRewind(Staged):
    """Prune's rewinds without its pruning: how much of Prune's gain is the rewinding?"""

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """Rewind."""
        return {"rewind": "initial"}
