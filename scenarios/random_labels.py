"""Random labels: every task asks to memorise fresh labels of the same few images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.scenarios.data import load
from plastic_env.streams import Task, TaskStream, epochs


@dataclass(frozen=True)
class RandomLabels:
    """Each task gives the same images new labels, drawn uniformly (Lyle et al. 2023; arXiv 2605.15435, RL-MNIST).

    data: name of the data set. images: how many of its training images are used; each stream draws its own.
    tasks: how many. updates: batches per task. batch_size: samples per batch, in shuffled passes.
    """

    data: str = "digits"
    images: int = 160
    tasks: int = 50
    updates: int = 200
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        chosen = torch.from_numpy(np.random.default_rng(seed).permutation(len(data.targets))[: self.images])

        def draw(index: int, rng: np.random.Generator) -> Task:
            targets = torch.from_numpy(rng.integers(data.classes, size=len(data.targets)))
            order = chosen[epochs(rng, len(chosen), self.updates, self.batch_size)]
            return Task(order, targets=targets)

        return TaskStream(data, (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {"RandomLabelDigits-v0": RandomLabels()}
