"""Permuted inputs: every task shows the same images with the pixels in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, permutations, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream
from plastic_env.streams.transforms import Moved


@dataclass(frozen=True)
class PermutedInputs(Family):
    """Each task permutes the inputs anew (online permuted MNIST: Dohare et al. 2024; Kumar et al. 2023, arXiv
    2308.11958; arXiv 2605.15435, PMNIST).

    data: name of the data set. images: how many of its training images are used, the same in all tasks; None for all.
    strength: share of the pixels that change places from one task to the next; 1 draws a new permutation.
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
        rows, places = rows_used(data, self.images, seed), permutations(data.features, self.strength, seed)

        def draw(index: int, rng: np.random.Generator) -> Task:
            source = places(index, rng)
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train, order, Moved(source), data.test)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "PermutedDigits-small-v0": PermutedInputs(),
    "PermutedMNIST-paper-v0": PermutedInputs("mnist", 10_000, 1.0, 500, 625, 16),
}
