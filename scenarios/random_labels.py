"""Random labels: every task asks to memorise fresh labels of the same few images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Chain, Signature, Task, TaskStream, task_rng


@dataclass(frozen=True)
class RandomLabels(Family):
    """Each task gives the same images new labels, drawn uniformly (Lyle et al. 2023; Kumar et al. 2023, arXiv
    2308.11958; arXiv 2605.15435, RL-MNIST and RL-CIFAR: 400 epochs). There is nothing to know beyond them, and no test
    set.

    data: name of the data set. images: how many of its training images are used; each stream draws its own; None for
        all. strength: share of the images whose labels are drawn anew from one task to the next.
    tasks: how many. updates: batches per task. batch_size: samples per batch, in shuffled passes.
    """

    data: str = "digits"
    images: int | None = 160
    strength: float = 1.0
    tasks: int = 50
    updates: int = 200
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows, samples = rows_used(data, self.images, seed), len(data.train)
        first = task_rng(seed, 0, 1).integers(data.classes, size=samples)

        def relabel(labels: np.ndarray, index: int, rng: np.random.Generator) -> np.ndarray:
            fresh = rng.integers(data.classes, size=samples)
            return np.where(rng.random(samples) < self.strength, fresh, labels)

        labels = Chain(first, relabel, seed)

        def draw(index: int, rng: np.random.Generator) -> Task:
            drawn = rng.integers(data.classes, size=samples) if self.strength == 1 else labels.at(index)
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train.labelled(torch.from_numpy(drawn)), order)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "RandomLabelDigits-small-v0": RandomLabels(),
    "RandomLabelMNIST-paper-v0": RandomLabels("mnist", 1200, 1.0, 50, 30_000, 16),
    "RandomLabelCIFAR10-paper-v0": RandomLabels("cifar10", 1200, 1.0, 50, 30_000, 16),
}
