"""5+1: hard tasks of five new classes and easy tasks of one take turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, class_order, of_classes
from plastic_env.streams.stream import Signature, Task, TaskStream


@dataclass(frozen=True)
class FivePlusOne(Family):
    """Tasks of several new classes and of a single one alternate, all with one head for all classes; only the hard
    tasks, which come first, are scored (5+1 CIFAR: Kumar et al. 2023, arXiv 2308.11958; arXiv 2605.15435).

    data: name of a data set of many classes. hard, easy: new classes in the tasks of either kind.
    tasks: how many, of both kinds. updates: batches per task. batch_size: samples per batch, in shuffled passes.
    """

    data: str = "digit_pairs"
    hard: int = 5
    easy: int = 1
    tasks: int = 30
    updates: int = 150
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            InvalidSetting: the data set has too few classes for all to be new.
        """
        data = load(self.data)
        counts = [self.easy if index % 2 else self.hard for index in range(self.tasks)]
        if sum(counts) > data.classes:
            raise InvalidSetting(
                f"{self.tasks} tasks of {self.hard} and {self.easy} new classes need {sum(counts)} classes; data set "
                f"{data.name!r} has {data.classes}: choose fewer tasks or other data."
            )
        groups = np.split(class_order(data, seed)[: sum(counts)], np.cumsum(counts)[:-1])

        def draw(index: int, rng: np.random.Generator) -> Task:
            return of_classes(data, groups[index], self.updates, self.batch_size, rng)

        scored = tuple(index % 2 == 0 for index in range(self.tasks))
        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed, scored)


SETTINGS = {
    "FivePlusOneDigits-small-v0": FivePlusOne(),
    "FivePlusOneCIFAR100-paper-v0": FivePlusOne("cifar100", 5, 1, 30, 780, 32),
}
