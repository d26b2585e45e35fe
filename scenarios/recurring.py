"""Recurring tasks: a few tasks that come back again and again. Is relearning faster than learning was?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream, task_rng
from plastic_env.streams.transforms import Moved


@dataclass(frozen=True)
class Recurring(Family):
    """A pool of input permutations, each a task, that are met in rounds: every one once per round, in an order drawn
    for each round. Tasks of equal labels are the same.

    data: name of the data set. images: how many of its training images are used, the same in all tasks; None for all.
    pool: how many different tasks. tasks: how many in all. updates: batches per task. batch_size: samples per batch,
        drawn in shuffled passes.
    """

    data: str = "digits"
    images: int | None = None
    pool: int = 5
    tasks: int = 50
    updates: int = 100
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows, rng = rows_used(data, self.images, seed), task_rng(seed, 0, 1)
        sources = [rng.permutation(data.features) for _ in range(self.pool)]
        met = np.concatenate([rng.permutation(self.pool) for _ in range(-(-self.tasks // self.pool))])

        def draw(index: int, rng: np.random.Generator) -> Task:
            label = int(met[index])
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train, order, Moved(sources[label]), data.test, label=label)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {"RecurringDigits-small-v0": Recurring()}
