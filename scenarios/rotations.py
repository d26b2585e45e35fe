"""Rotations: every task turns the same images by another angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream
from plastic_env.streams.transforms import Moved, rotation


@dataclass(frozen=True)
class Rotations(Family):
    """Each task turns the images by an angle of its own (rotated MNIST: Lopez-Paz & Ranzato 2017: 20 angles between 0
    and 180 degrees, each drawn from a slice of its own, 1,000 images each, in batches of 10). Every pixel shows the
    nearest one of the upright image.

    data: name of a data set of images. images: how many of its training images are used in a task; None for all.
    strength: the largest angle, as a share of 180 degrees. rising: whether angles rise from task to task, through equal
        slices of that range, and each task has images of its own; otherwise each is drawn from all of the range, and
        the images are the same in all tasks.
    tasks: how many. updates: batches per task. batch_size: samples per batch, drawn in shuffled passes.
    """

    data: str = "digits"
    images: int | None = None
    strength: float = 1.0
    rising: bool = False
    tasks: int = 80
    updates: int = 100
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            InvalidSetting: the data set's samples are no images.
        """
        data = load(self.data)
        if data.shape is None:
            raise InvalidSetting(f"Data set {data.name!r} holds no images, which can't be turned; choose another one.")
        shape, rows = data.shape, rows_used(data, self.images, seed)

        def draw(index: int, rng: np.random.Generator) -> Task:
            first, last = (index / self.tasks, (index + 1) / self.tasks) if self.rising else (0.0, 1.0)
            turned = Moved(rotation(shape, 180 * self.strength * rng.uniform(first, last)), data.train.blank)
            mine = rng.permutation(len(data.train))[: len(rows)] if self.rising else rows
            return Task(data.train, ordered(mine, self.updates, self.batch_size, rng), turned, data.test)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "RotatedDigits-small-v0": Rotations(),
    "RotatedMNIST-paper-v0": Rotations("mnist", 1000, 1.0, True, 20, 100, 10),
}
