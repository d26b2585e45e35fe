"""Class pairs: every task asks to tell a few new classes apart, with the same few outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_of
from plastic_env.streams.samples import Samples
from plastic_env.streams.stream import Signature, Task, TaskStream, task_rng


@dataclass(frozen=True)
class ClassPairs(Family):
    """Each task has `together` new classes, called 0, 1, ... (Continual ImageNet: Dohare et al. 2024; arXiv 2605.15435,
    C-ImageNet: 600 images per class of 32 x 32, ten passes in batches of 100). Classes are met in rounds: in each round
    every class once, but for those that are left over when they can't be shared out evenly.

    The published code also sets the outputs' weights to zero at each task; here that is for the method to do.

    data: name of a data set of many classes; the published one is 1,000 classes of ImageNet at 32 x 32, which a file of
        one's own may hold (`data="npz:PATH"`). Tiny ImageNet has 200 classes with 500 images each: 120 updates are 12
        passes over two of them. together: classes per task.
    tasks: how many. updates: batches per task. batch_size: samples per batch, drawn in shuffled passes.
    """

    data: str = "digit_pairs"
    together: int = 2
    tasks: int = 100
    updates: int = 60
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            InvalidSetting: the data set has fewer classes than one task.
        """
        data = load(self.data)
        if self.together > data.classes:
            raise InvalidSetting(f"together is {self.together}; data set {data.name!r} has {data.classes} classes.")
        rng, once = task_rng(seed, 0, 1), data.classes // self.together * self.together  # classes left over wait
        rounds = [rng.permutation(data.classes)[:once] for _ in range(-(-self.tasks * self.together // once))]
        groups = np.concatenate(rounds).reshape(-1, self.together)

        def draw(index: int, rng: np.random.Generator) -> Task:
            group = groups[index]
            rows, test_rows = (rows_of(part, group) for part in (data.train, data.test))
            train, test = (_renamed(part, group, data.classes) for part in (data.train, data.test))
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(train, order, test=test, test_rows=torch.from_numpy(test_rows))

        lengths = (self.updates,) * self.tasks
        return TaskStream(Signature.of(data, self.together), lengths, self.batch_size, draw, seed)


def _renamed(part: Samples, group: np.ndarray, classes: int) -> Samples:
    """Its classes by their place in the group; whatever isn't in it is never asked for."""
    names = torch.zeros(classes, dtype=torch.int64)
    names[torch.from_numpy(group)] = torch.arange(len(group))
    return part.labelled(names[part.targets])


SETTINGS = {
    "ClassPairsDigits-small-v0": ClassPairs(),
    "ClassPairsTinyImageNet-paper-v0": ClassPairs("tiny_imagenet", 2, 500, 120, 100),
}
