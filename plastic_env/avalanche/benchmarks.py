"""Task streams as Avalanche's benchmarks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

import torch
from avalanche.benchmarks import CLScenario, benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.utils import (
    ConstantSequence,
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
    TaskLabels,
)
from torch import Tensor
from torch.utils.data import Dataset

from plastic_env.errors import InvalidSetting
from plastic_env.streams.stream import Task, TaskStream, batches_of

MEMORY = 256 * 2**20  # bytes of samples, as they are shown, that a benchmark keeps
Sample = tuple[Tensor, int]


def to_avalanche(stream: TaskStream) -> CLScenario:
    """A task stream as a benchmark of Avalanche, with a train stream, class timeline and task labels, and with a test
    stream of those tasks that have a test set, if any do.

    Experience i holds the samples of task i in the order in which the stream shows them, a sample as often as it is
    shown: a strategy that trains for one epoch in batches of `stream.batch_size` without shuffling sees the very
    batches of the stream, in their order. Samples are images [channels, height, width] where the signature says so,
    else flat; they are made when they are asked for, and up to 256 MiB of them are kept. Task labels are the tasks' own
    or, where any has none, their numbers.

    Raises:
        InvalidSetting: no stream, or one whose targets are no classes.
    """
    if not isinstance(stream, TaskStream):
        raise InvalidSetting(f"stream is {stream!r}; give a TaskStream, as scenario.stream(seed) makes it.")
    if stream.signature.loss != "cross_entropy":
        raise InvalidSetting(
            f"The stream's loss is {stream.signature.loss}; Avalanche's benchmarks are of classes: give a stream with "
            "cross_entropy."
        )
    tasks = [stream.task(index) for index in range(len(stream.lengths))]
    own = [task.label for task in tasks]
    labels = [at if None in own else label for at, label in enumerate(own)]
    inputs = stream.signature.inputs
    shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    memory = Memory()
    train = [_data(Ordered(task, at, shape, memory), labels[at]) for at, task in enumerate(tasks)]
    known = [index for index, task in enumerate(tasks) if len(task.tested_rows)]
    datasets = {"train": train}
    if known:
        datasets["test"] = [_data(Tested(tasks[index], index, shape, memory), labels[index]) for index in known]
    return with_task_labels(with_classes_timeline(benchmark_from_datasets(**datasets)))


class Memory:
    """Tensors that took work to make: those used last, of `limit` bytes together, and the latest in any case. Pickled
    copies, for workers, start empty."""

    def __init__(self, limit: int = MEMORY) -> None:
        self.limit = limit
        self._kept: OrderedDict[tuple[str, int], Tensor] = OrderedDict()

    def __reduce__(self) -> tuple[type[Memory], tuple[int]]:
        return Memory, (self.limit,)

    def get(self, key: tuple[str, int]) -> Tensor | None:
        """The samples of a task that are kept under that name, [samples, ...]; None if they are not."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: tuple[str, int], made: Tensor) -> Tensor:
        """Keep the samples [samples, ...] of a task, and forget what has not been used for longest."""
        self._kept[key] = made
        while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self.limit:
            self._kept.popitem(last=False)
        return made


class Ordered(Dataset[Sample]):
    """The samples of one task in the order in which they are shown.

    The latest batch is kept. Once so many batches have been made that all could have been (which reading in order
    doesn't come to), all are made and kept, if the memory allows that.
    """

    def __init__(self, task: Task, index: int, shape: tuple[int, ...], memory: Memory) -> None:
        self.task, self.key, self.shape, self.memory = task, ("train", index), shape, memory
        self.targets: list[int] = task.train.targets[task.order.flatten()].tolist()
        self._small = task.order.numel() * prod(shape) * torch.float32.itemsize <= memory.limit
        self._latest: tuple[int, Tensor] | None = None
        self._made = 0

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        index = _place(index, len(self))
        whole = self.memory.get(self.key)
        if whole is not None:
            return whole[index].unflatten(-1, self.shape), self.targets[index]
        batch, place = divmod(index, self.task.order.shape[1])
        if self._latest is None or self._latest[0] != batch:
            if self._small and self._made >= len(self.task.order):
                self._made, self._latest = 0, None
                self.memory.keep(self.key, batches_of(self.task, 0, len(self.task.order))[0].flatten(0, 1))
                return self[index]
            self._latest = batch, batches_of(self.task, batch, batch + 1)[0][0]
            self._made += 1
        return self._latest[1][place].unflatten(-1, self.shape), self.targets[index]


class Tested(Dataset[Sample]):
    """The test set of one task."""

    def __init__(self, task: Task, index: int, shape: tuple[int, ...], memory: Memory) -> None:
        assert task.test is not None
        self.samples, self.transform, self.key = task.test, task.transform, ("test", index)
        self.rows = task.tested_rows
        self.shape, self.memory = shape, memory
        self.targets: list[int] = task.test.targets[self.rows].tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        index = _place(index, len(self))
        shown = self.memory.get(self.key)
        if shown is None:
            x = self.samples.fetch(self.rows)[None]  # as `TaskStream.test` shows it
            shown = self.memory.keep(self.key, (x if self.transform is None else self.transform(x, -1))[0])
        return shown[index].unflatten(-1, self.shape), self.targets[index]


def _place(index: int, count: int) -> int:
    """An index counted from the start."""
    if not -count <= index < count:
        raise IndexError(f"There is no sample {index}; there are {count}.")
    return index % count


def _data(samples: Ordered | Tested, label: int | None) -> TaskAwareSupervisedClassificationDataset:
    attributes: Sequence[DataAttribute] = (
        DataAttribute(samples.targets, "targets"),
        TaskLabels(ConstantSequence(label, len(samples))),
    )
    return TaskAwareSupervisedClassificationDataset([samples], data_attributes=list(attributes))
