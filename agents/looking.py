"""Structural methods of others that look at the learner at equal distances, whatever the tasks do."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Any

import numpy as np

from plastic_env.agents.structural import WithNewborns
from plastic_env.env.encoding import Action, EpisodeSpec, Observation, global_field, layer_field
from plastic_env.errors import InvalidSetting, check_share, check_whole, is_finite


@dataclass
class Looking(WithNewborns):
    """Base of agents that act every `every` updates, whatever the tasks do.

    Raises:
        InvalidSetting: no whole number of at least 1; shares outside of [0, 1].
    """

    every: int = 100

    def __post_init__(self) -> None:
        check_whole("every", self.every)

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Wait for the first time."""
        super().reset(episode, seed)
        self.next = self.every

    def act(self, observation: Observation, info: dict[str, Any]) -> Action:
        """Act when it is time; train to the next time, or to a shift."""
        now, wanted = info["updates"], self.at_shift(observation, info) if info["shift"] else {}
        if now >= self.next:
            wanted = {**wanted, **self.edit(observation, info)}
            self.next = now + self.every
        return self.episode.action(budget=min(self.next - now, self.episode.max_budget), **wanted)

    def at_shift(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """What to do at a shift beside what is due then."""
        return {}


@dataclass
class GrowPrune(Looking):
    """At constant width, drops the weakest live units and grows as many dormant ones: at the level of units, what SET
    (Mocanu et al. 2018: random ones) and RigL (Evci et al. 2020: those of the largest gradient) do with weights.

    The fraction that changes falls as (share / 2)(1 + cos(pi t / T)), T being the stream's length. Slots that have just
    been pruned are candidates, too, with the weights that they began with. Needs dormant slots.

    share: see there. grow_rule: which units grow.
    """

    share: float = 0.3
    grow_rule: str = "random"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("share", self.share)

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Exchange."""
        fraction = self.share / 2 * (1 + cos(pi * global_field(observation, "progress")))
        dormant = np.array(self.episode.capacity) - info["live"]
        counts = np.minimum(np.round(fraction * info["live"]), np.minimum(dormant, info["live"] - 1)).astype(np.int64)
        return {"prune": counts, "grow": counts, "grow_rule": self.grow_rule, **self.entering}


@dataclass
class Growing(Looking):
    """One new random unit in every layer at equal distances, until the slots are full; nothing is frozen, and nothing
    is removed (Kong & Sutton 2026, arXiv 2608.01475, AGN: a unit every 3,000 to 24,000 samples).

    insertion: how newborns enter (see `WithNewborns`).
    """

    every: int = 200
    insertion: str = "fresh"

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Grow by one."""
        room = np.array(self.episode.capacity) > info["live"]
        return {"grow": room.astype(np.int64), "grow_rule": "random", **self.entering}


@dataclass
class Elastic(Growing):
    """`Growing` that also prunes units that seem dead at each shift (the same, AEN). There they are those that a sample
    of the new task leaves at zero; here those with a ReDo score of at most .025 on the probe batch, which is of the old
    one."""

    def at_shift(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Prune the dormant ones, but for one."""
        dormant = np.round(layer_field(observation, "dormant") * info["live"]).astype(np.int64)
        return {"prune": np.minimum(dormant, info["live"] - 1), "prune_rule": "redo"}


@dataclass
class Saturation(Looking):
    """Grows when representation and plasticity are both used up (after NORACL, arXiv 2604.27031, whose signals we read
    as these): a layer gets `step` units when the effective rank of its features is at least `full` of its live units
    and the online accuracy has not risen since the latest look by more than `margin`."""

    full: float = 0.3
    margin: float = 0.005
    step: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("full", self.full)
        check_whole("step", self.step)
        if not is_finite(self.margin):
            raise InvalidSetting(f"margin is {self.margin!r}; give a number.")

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Grow the layers that are full."""
        stuck = global_field(observation, "accuracy_change") <= self.margin
        full = layer_field(observation, "effective_rank") >= self.full
        room = np.array(self.episode.capacity) - info["live"]
        return {"grow": np.where(full & stuck, np.minimum(self.step, room), 0), **self.entering}
