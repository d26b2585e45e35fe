"""Warm start: first a part of the data, then all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream, task_rng


@dataclass(frozen=True)
class WarmStart(Family):
    """Two tasks: a part of the training images, then all of them. Networks that were trained on the part first end up
    worse on test data than fresh ones (Ash & Adams 2020: half of CIFAR-10, 350 epochs of either, batches of 128).

    data: name of the data set. images: how many of its training images are used at all; None for all. share: the part
        that comes first. epochs: passes over what there is, in either task. batch_size: samples per batch.
    """

    data: str = "digits"
    images: int | None = None
    share: float = 0.5
    epochs: int = 40
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows = task_rng(seed, 0, 1).permutation(rows_used(data, self.images, seed))
        seen = (max(1, round(self.share * len(rows))), len(rows))
        lengths = tuple(-(-self.epochs * count // self.batch_size) for count in seen)

        def draw(index: int, rng: np.random.Generator) -> Task:
            order = ordered(rows[: seen[index]], lengths[index], self.batch_size, rng)
            return Task(data.train, order, test=data.test)

        return TaskStream(Signature.of(data), lengths, self.batch_size, draw, seed)


SETTINGS = {
    "WarmStartDigits-small-v0": WarmStart(),
    "WarmStartCIFAR10-paper-v0": WarmStart("cifar10", None, 0.5, 350, 128),
}
