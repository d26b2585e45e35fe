"""Permuted inputs: every task shows the same images with the pixels in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.scenarios.data import load
from plastic_env.streams import Task, TaskStream, epochs


@dataclass(frozen=True)
class PermutedInputs:
    """Each task permutes the inputs anew (online permuted MNIST: Dohare et al. 2024; arXiv 2605.15435, PMNIST).

    data: name of the data set. tasks: how many. updates: batches per task. batch_size: samples per
    batch, drawn in shuffled passes over the training images.
    """

    data: str = "digits"
    tasks: int = 80
    updates: int = 100
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)

        def draw(index: int, rng: np.random.Generator) -> Task:
            columns = torch.from_numpy(rng.permutation(data.features))
            return Task(epochs(rng, len(data.targets), self.updates, self.batch_size), columns=columns)

        return TaskStream(data, (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {"PermutedDigits-v0": PermutedInputs()}
