"""A contextual bandit that learns within one life how much to recycle after which kind of shift.

plastic-env compare --scenario BimodalShiftsDigits-small-v0 --set split=test --methods examples/bandit.py:Bandit recycle
"""

from dataclasses import dataclass

import numpy as np

from plastic_env.env.encoding import global_field

FRACTIONS = (0.0, 0.125, 0.5)  # its arms


@dataclass
class Bandit:
    """Looks at a new task for some updates; the fall of accuracy is the context. Chooses by upper confidence bounds.

    look: updates. falls: falls of accuracy that separate the contexts. courage: weight of the confidence bound.
    """

    look: int = 4
    falls: tuple[float, ...] = (0.2, 0.5)
    courage: float = 0.1

    def reset(self, episode, seed):
        """Know nothing."""
        self.episode, self.chosen, self.looking = episode, None, False
        self.times, self.sums = np.zeros((2, len(self.falls) + 1, len(FRACTIONS)))

    def act(self, observation, info):
        """Look at shifts, decide after the look, and remember at the next shift what came of it."""
        if info["shift"]:
            if self.chosen is not None:
                self.times[self.chosen] += 1
                self.sums[self.chosen] += global_field(observation, "accuracy")
            self.chosen, self.looking = None, True
            return self.episode.action(budget=self.look)
        if not self.looking:
            return self.episode.action()
        context = int(np.searchsorted(self.falls, -global_field(observation, "accuracy_change")))
        tried = np.maximum(self.times[context], 1e-9)
        bound = self.sums[context] / tried + self.courage * np.sqrt(np.log(self.times[context].sum() + 2) / tried)
        self.chosen, self.looking = (context, int(bound.argmax())), False
        return self.episode.action(
            recycle=np.round(FRACTIONS[self.chosen[1]] * info["live"]).astype(int), insertion="fresh"
        )
