"""Rotations: every task turns the same images by another angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, some
from plastic_env.streams.stream import Signature, Task, TaskStream
from plastic_env.streams.transforms import Moved, rotation


@dataclass(frozen=True)
class Rotations(Family):
    """Each task turns the images by an angle of its own (rotated MNIST: Lopez-Paz & Ranzato 2017: 20 angles between 0
    and 180 degrees, 1,000 images each, in batches of 10). Every pixel shows the nearest one of the upright image.

    data: name of a data set of images. images: how many of its training images are used, the same in all tasks; None
        for all. strength: the largest angle, as a share of 180 degrees.
    tasks: how many. updates: batches per task. batch_size: samples per batch, drawn in shuffled passes.
    """

    data: str = "digits"
    images: int | None = None
    strength: float = 1.0
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
        shape, rows = data.shape, some(data, self.images, seed)

        def draw(index: int, rng: np.random.Generator) -> Task:
            turned = Moved(rotation(shape, rng.uniform(0, 180 * self.strength)), data.train.blank)
            return Task(data.train, ordered(rows, self.updates, self.batch_size, rng), turned, data.test)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "RotatedDigits-small-v0": Rotations(),
    "RotatedMNIST-paper-v0": Rotations("mnist", 1000, 1.0, 20, 100, 10),
}
