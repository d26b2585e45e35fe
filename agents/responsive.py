"""Agents that look at a new task before they edit: how much to recycle depends on what has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plastic_env.agents.structural import WithNewborns
from plastic_env.env.encoding import Action, EpisodeSpec, Observation, global_field
from plastic_env.errors import InvalidSetting, check_share, check_whole, is_finite


@dataclass
class RecycleAfterFall(WithNewborns):
    """Trains on the first batches of each task and, if accuracy has fallen far, recycles most units.

    Those batches have taught the optimizer of gradients that the edit makes obsolete, and Adam's second moments would
    keep learning slow for hundreds of updates: with most units new, all of its state starts anew.

    insertion, optimizer_state: how newborns enter (see `WithNewborns`).
    look: batches. fall: of accuracy, against the step before, beyond which units are recycled.
    fraction: of the live units then; those of least contribution utility go. weak: fraction after a lesser fall, with
        the optimizer's state kept.

    Raises:
        InvalidSetting: no whole number of batches of at least 1; fractions outside of [0, 1].
    """

    insertion: str = "fresh"
    optimizer_state: str = "reset"
    look: int = 1
    fall: float = 0.4
    fraction: float = 0.75
    weak: float = 0.0

    def __post_init__(self) -> None:
        check_whole("look", self.look)
        check_share("fraction", self.fraction)
        check_share("weak", self.weak)
        if not is_finite(self.fall):
            raise InvalidSetting(f"fall is {self.fall!r}; give a number.")

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Nothing has been looked at yet."""
        super().reset(episode, seed)
        self.looked = False

    def act(self, observation: Observation, info: dict[str, Any]) -> Action:
        """Look at a new task; decide after that look."""
        looked, self.looked = self.looked, bool(info["shift"])
        if info["shift"]:
            return self.episode.action(budget=min(self.look, self.episode.max_budget))
        return self.episode.action(**(self.edit(observation, info) if looked else {}))

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Recycle as the fall of accuracy demands."""
        strong = -global_field(observation, "accuracy_change") > self.fall
        counts = np.round((self.fraction if strong else self.weak) * info["live"]).astype(np.int64)
        if not counts.any():
            return {}
        entering = self.entering if strong else {**self.entering, "optimizer_state": "fresh"}
        return {"recycle": counts, "recycle_rule": "utility", **entering}
