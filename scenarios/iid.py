"""One task all along, cut into cycles: nothing shifts, and every cycle's end is a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream


@dataclass(frozen=True)
class Iid(Family):
    """Shuffled passes over the training images, with boundaries between edit cycles (arXiv 2605.15435, iid streams:
    20 epochs per cycle on MNIST, 40 on CIFAR; batches of 128, since 5 epochs of CIFAR are 1,955 updates there).

    data: name of the data set. tasks: how many cycles. updates: batches per cycle. batch_size: samples per batch.
    """

    data: str = "digits"
    tasks: int = 5
    updates: int = 400
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows = rows_used(data, None, seed)

        def draw(index: int, rng: np.random.Generator) -> Task:
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train, order, test=data.test, label=0)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "IidDigits-small-v0": Iid(),
    "IidMNIST-paper-v0": Iid("mnist", 5, 20 * 469, 128),
    "IidCIFAR10-paper-v0": Iid("cifar10", 5, 40 * 391, 128),
    "IidCIFAR100-paper-v0": Iid("cifar100", 5, 40 * 391, 128),
}
