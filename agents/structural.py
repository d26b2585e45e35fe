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
from plastic_env.errors import InvalidSetting, check_share, check_whole, is_within

TARGET = 0.5  # of the slots live in the end: the same for growing and pruning, as in arXiv 2605.15435


@dataclass
class AtShifts:
    """Base of agents that edit at shifts and train on otherwise."""

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
class NoEdit(AtShifts):
    """Never edits."""


@dataclass
class Reset(AtShifts):
    """Draws everything anew at every shift: no plasticity is lost, and nothing is kept."""

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Reset."""
        return {"reset": True}


@dataclass
class WithNewborns(AtShifts):
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
class Recycle(WithNewborns):
    """At every shift, replaces the least useful units of each layer by newborns.

    insertion: how newborns enter (see `WithNewborns`). fraction: of the live units. recycle_rule: how they are chosen.

    Raises:
        InvalidSetting: a fraction outside of [0, 1].
    """

    insertion: str = "fresh"
    fraction: float = 0.125
    recycle_rule: str = "utility"

    def __post_init__(self) -> None:
        check_share("fraction", self.fraction)

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Replace `fraction` of the live units."""
        counts = np.round(self.fraction * info["live"]).astype(np.int64)
        return {"recycle": counts, "recycle_rule": self.recycle_rule, **self.entering}


@dataclass
class Staged(AtShifts):
    """Base of methods that act at a given number of events over the stream's first part.

    The events fall into the middle of equal stretches, so that the mean width over time does not depend
    on their number. events: how many. until: the fraction of the stream that is cut into stretches.

    Raises:
        InvalidSetting: no whole number of events of at least 1, or a fraction outside of (0, 1].
    """

    events: int = 20
    until: float = 0.5

    def __post_init__(self) -> None:
        check_whole("events", self.events)
        check_until(self.until)

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
class ToTarget(Staged):
    """Base of methods that end with a fraction of each layer's slots live.

    target: one fraction, or one for each layer.

    Raises:
        InvalidSetting: as `Staged`; fractions outside of [0, 1], or, in `reset`, not one for each layer.
    """

    target: float | tuple[float, ...] = TARGET

    def __post_init__(self) -> None:
        super().__post_init__()
        check_target(self.target)

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Start counting events."""
        super().reset(episode, seed)
        check_layers(self.target, episode)


@dataclass
class Grow(WithNewborns, ToTarget):
    """Adds dormant units until a fraction `target` of the slots is live (arXiv 2605.15435, Grow).

    target: one fraction, or one for each layer. grow_rule: how they are chosen. Nothing is rewound, and newborns
        replace nobody.

    Raises:
        InvalidSetting: as `ToTarget`.
    """

    grow_rule: str = "activation"

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """Grow to the width that is due."""
        first, slots = np.array(self.episode.live), np.array(self.episode.capacity)
        final = np.maximum(first, np.round(np.array(self.target) * slots))
        width = np.round(first + (final - first) * due / self.events).astype(np.int64)
        return {"grow": np.maximum(0, width - info["live"]), "grow_rule": self.grow_rule, **self.entering}


@dataclass
class Prune(ToTarget):
    """Iterative magnitude pruning to a fraction `target` of the slots (arXiv 2605.15435, IMP).

    In each event ceil(q / events left) units go, q being still to remove. target: one fraction, or one for each layer.
    rewind: whether the survivors then return to their initial weights, as in the paper.

    Raises:
        InvalidSetting: as `ToTarget`.
    """

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
class CubicPrune(Staged):
    """Magnitude pruning without rewinding, fast at first and slower later: of what is to go, (1 - t / T)^3 is still
    there (Zhu & Gupta 2017, arXiv 1710.01878).

    target: fraction of the slots that is live in the end.

    Raises:
        InvalidSetting: as `Staged`; a fraction outside of [0, 1].
    """

    target: float = TARGET

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("target", self.target)

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """Prune to the width that is due."""
        first, slots = np.array(self.episode.live), np.array(self.episode.capacity)
        final = np.maximum(1, np.round(self.target * slots))
        width = np.round(final + (first - final) * (1 - due / self.events) ** 3).astype(np.int64)
        return {"prune": np.maximum(0, info["live"] - width)}


@dataclass
class DenseRewind(Staged):
    """Prune's rewinds without its pruning: how much of Prune's gain is the rewinding?"""

    def stage(self, due: int, info: dict[str, Any]) -> dict[str, Any]:
        """Rewind."""
        return {"rewind": "initial"}


def check_until(until: object) -> None:
    """Raise `InvalidSetting` unless it is a part of a stream."""
    if not is_within(until, 0, 1, ends="(]"):
        raise InvalidSetting(f"until is {until!r}; give a fraction in (0, 1].")


def check_target(target: object) -> None:
    """Raise `InvalidSetting` unless it is a fraction of the slots, or some of them."""
    if isinstance(target, (tuple, list)) and not target:
        raise InvalidSetting("target is empty; give a fraction of the slots, or one for each layer.")
    for share in target if isinstance(target, (tuple, list)) else (target,):
        check_share("target", share)


def check_layers(target: float | tuple[float, ...], episode: EpisodeSpec) -> None:
    """Raise `InvalidSetting` unless there is one target, or one for each editable layer."""
    if isinstance(target, (tuple, list)) and len(target) != len(episode.capacity):
        raise InvalidSetting(
            f"target is {target!r}, but the learner has {len(episode.capacity)} editable layers; give one number for "
            "all of them, or one for each."
        )
