"""A contextual bandit that learns within one life how much to recycle after which kind of shift.

docs/tutorials/bandit.md explains it.
"""

from dataclasses import dataclass

import numpy as np

from plastic_env.env.encoding import global_field

FALLS = (0.2, 0.5)  # of accuracy in a new task's first batch: what lies between them are the contexts
FRACTIONS = (0.0, 0.25, 0.75)  # of units to recycle: the arms


@dataclass
class Bandit:
    """Upper confidence bounds on the accuracy that a task ends with, by context and arm."""

    courage: float = 0.1

    def reset(self, episode, seed):
        """Know nothing."""
        self.episode, self.chosen = episode, None
        self.times, self.sums = np.zeros((2, len(FALLS) + 1, len(FRACTIONS)))

    def act(self, observation, info):
        """At a shift, remember what came of the last choice and look at one batch; then choose."""
        if info["shift"]:
            if self.chosen is not None:
                self.times[self.chosen] += 1
                self.sums[self.chosen] += global_field(observation, "accuracy")
            self.chosen = None
            return self.episode.action(budget=1)
        if info["updates"] == 0 or self.chosen is not None:
            return self.episode.action()
        context = int(np.searchsorted(FALLS, -global_field(observation, "accuracy_change")))
        tried = np.maximum(self.times[context], 1e-9)
        bounds = self.sums[context] / tried + self.courage * np.sqrt(np.log(self.times[context].sum() + 2) / tried)
        self.chosen = context, int(bounds.argmax())
        counts = np.round(FRACTIONS[self.chosen[1]] * info["live"]).astype(int)
        state = "reset" if FRACTIONS[self.chosen[1]] > 0.5 else "fresh"
        return self.episode.action(recycle=counts, insertion="fresh", optimizer_state=state)
