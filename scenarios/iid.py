"""One task all along, cut into cycles: nothing shifts, and every cycle's end is a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.scenarios.data import load
from plastic_env.streams import Task, TaskStream, epochs


@dataclass(frozen=True)
class Iid:
    """Shuffled passes over the training images, with boundaries between edit cycles (arXiv 2605.15435, iid streams).

    data: name of the data set. tasks: how many cycles. updates: batches per cycle. batch_size: samples per batch.
    """

    data: str = "digits"
    tasks: int = 5
    updates: int = 400
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)

        def draw(index: int, rng: np.random.Generator) -> Task:
            return Task(epochs(rng, len(data.targets), self.updates, self.batch_size))

        return TaskStream(data, (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {"IidDigits-v0": Iid()}
