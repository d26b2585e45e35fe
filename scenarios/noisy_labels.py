"""Noisy labels, then clean ones: what was learnt wrongly must be unlearnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.errors import InvalidSetting, check_share
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream, task_rng


@dataclass(frozen=True)
class NoisyLabels(Family):
    """Each task has a share of its labels replaced by others, drawn uniformly and kept; by default first most, then
    none (Igl et al. 2021, arXiv 2006.05826: noise in the past harms what is learnt from clean data later). Tests are
    clean.

    data: name of the data set. images: how many of its training images are used, the same in all tasks; None for all.
    noise: share of wrong labels in each task, from the first to the last. updates: batches per task.
    batch_size: samples per batch, drawn in shuffled passes.

    Raises:
        InvalidSetting: values outside of these.
    """

    data: str = "digits"
    images: int | None = 400
    noise: tuple[float, ...] = (0.8, 0.0)
    updates: int = 2000
    batch_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.noise, tuple) or not self.noise:
            raise InvalidSetting(f"noise is {self.noise!r}; give a tuple, the share of wrong labels in each task.")
        for share in self.noise:
            check_share("noise of a task", share)

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows, rng = rows_used(data, self.images, seed), task_rng(seed, 0, 1)
        turn = rng.random(len(data.train))  # the order in which labels go wrong, so that more noise spoils more of them
        right = data.train.targets.numpy()
        wrong = (right + rng.integers(1, max(2, data.classes), size=len(right))) % data.classes

        def draw(index: int, rng: np.random.Generator) -> Task:
            labels = np.where(turn < self.noise[index], wrong, right)
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train.labelled(torch.from_numpy(labels)), order, test=data.test)

        return TaskStream(Signature.of(data), (self.updates,) * len(self.noise), self.batch_size, draw, seed)


SETTINGS = {"NoisyLabelDigits-small-v0": NoisyLabels()}
