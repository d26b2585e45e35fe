"""Permuted labels: the same images and the same classes under other names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, permutations, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream


@dataclass(frozen=True)
class PermutedLabels(Family):
    """Each task permutes the names of the classes (Elsayed & Mahmood 2024, label-permuted EMNIST and CIFAR-10: one
    sample at a time, a new permutation every 2,500 of a million).

    data: name of the data set. images: how many of its training images are used, the same in all tasks; None for all.
    strength: share of the classes, but at least two, that change names from one task to the next; 1 draws a new
        permutation.
    tasks: how many. updates: batches per task. batch_size: samples per batch, drawn in shuffled passes.
    """

    data: str = "digits"
    images: int | None = None
    strength: float = 1.0
    tasks: int = 80
    updates: int = 100
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows, names = rows_used(data, self.images, seed), permutations(data.classes, self.strength, seed)

        def draw(index: int, rng: np.random.Generator) -> Task:
            named = names(index, rng)
            train, test = (part.labelled(torch.from_numpy(named)[part.targets]) for part in (data.train, data.test))
            return Task(train, ordered(rows, self.updates, self.batch_size, rng), test=test)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "PermutedLabelDigits-small-v0": PermutedLabels(),
    "PermutedLabelEMNIST-paper-v0": PermutedLabels("emnist", None, 1.0, 400, 2500, 1),
    "PermutedLabelCIFAR10-paper-v0": PermutedLabels("cifar10", None, 1.0, 400, 2500, 1),
}
