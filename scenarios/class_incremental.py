"""Class-incremental: groups of classes one after the other, one head for all of them, a small memory of the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, class_order, of_classes, rows_of
from plastic_env.streams.samples import Dataset
from plastic_env.streams.stream import Signature, Task, TaskStream, task_rng


@dataclass(frozen=True)
class ClassIncremental(Family):
    """Each task has the next group of classes; from the second on, part of every batch is drawn from a memory of the
    classes before (TinyER: Chaudhry et al. 2019; arXiv 2605.15435, Split-MNIST, -Fashion and -CIFAR100: five groups on
    MNIST, 20 epochs each, half of each batch from at most 200 samples, 50 per class). Its number of groups on CIFAR-100
    and its batches are not stated: ours are 10 and 32, and an epoch is as many batches as the group's samples fill.
    From the second group on, half of each batch is old, so that 20 epochs show each new sample ten times. What was
    learnt is measured on the test samples of all classes so far: `TaskStream.test(task, cumulative=True)`.

    data: name of the data set. tasks: how many groups of classes. updates: batches per task. batch_size: samples per
        batch. replay: share of the batch that comes from the memory. per_class, memory: the most samples that it
        keeps of each class, and of all together.
    """

    data: str = "digits"
    tasks: int = 5
    updates: int = 200
    batch_size: int = 16
    replay: float = 0.5
    per_class: int = 50
    memory: int = 200

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            InvalidSetting: fewer classes than tasks, or nothing new in a batch.
        """
        data, old = load(self.data), round(self.replay * self.batch_size)
        if self.tasks > data.classes:
            raise InvalidSetting(f"tasks is {self.tasks}; data set {data.name!r} has {data.classes} classes to share.")
        if old == self.batch_size:
            raise InvalidSetting(
                f"replay is {self.replay} of batches of {self.batch_size}, which leaves nothing new; choose less."
            )
        groups = np.array_split(class_order(data, seed), self.tasks)

        def draw(index: int, rng: np.random.Generator) -> Task:
            if index == 0 or old == 0:
                return of_classes(data, groups[index], self.updates, self.batch_size, rng)
            task = of_classes(data, groups[index], self.updates, self.batch_size - old, rng)
            memory = self._memory(data, np.concatenate(groups[:index]), seed)
            again = torch.from_numpy(rng.choice(memory, (self.updates, old)))
            return Task(data.train, torch.cat([task.order, again], 1), test=data.test, test_rows=task.test_rows)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)

    def _memory(self, data: Dataset, classes: np.ndarray, seed: int) -> np.ndarray:
        """Rows that are kept of these classes: the same ones from task to task, but fewer as classes come in."""
        most = max(1, min(self.per_class, self.memory // len(classes)))
        kept = [task_rng(seed, int(label), 3).permutation(rows_of(data.train, [label]))[:most] for label in classes]
        return np.concatenate(kept)[: self.memory]


SETTINGS = {
    "SplitDigits-small-v0": ClassIncremental(),
    "SplitMNIST-paper-v0": ClassIncremental("mnist", 5, 20 * 375, 32),
    "SplitFashionMNIST-paper-v0": ClassIncremental("fashion_mnist", 5, 20 * 375, 32),
    "SplitCIFAR100-paper-v0": ClassIncremental("cifar100", 10, 20 * 157, 32),
}
