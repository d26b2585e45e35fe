"""Task streams as Avalanche's benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

Sample = tuple[Tensor, int]


def to_avalanche(stream: TaskStream) -> CLScenario:
    """A task stream as a benchmark of Avalanche, with a train stream, class timeline and task labels, and with a test
    stream of those tasks that have a test set, if any do.

    Experience i holds the samples of task i in the order in which the stream shows them, a sample as often as it is
    shown: a strategy that trains for one epoch in batches of `stream.batch_size` without shuffling sees the very
    batches of the stream, in their order. Samples are images [channels, height, width] where the signature says so,
    else flat; they are made when they are asked for, batch by batch. Task labels are the tasks' own or, where any has
    none, their numbers.

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
    train = [_data(Ordered(task, shape), label) for task, label in zip(tasks, labels, strict=True)]
    tests = _Tests(stream)
    known = [index for index, task in enumerate(tasks) if task.test is not None]
    datasets = {"train": train}
    if known:
        datasets["test"] = [_data(Tested(tests, index, tasks[index], shape), labels[index]) for index in known]
    return with_task_labels(with_classes_timeline(benchmark_from_datasets(**datasets)))


class Ordered(Dataset[Sample]):
    """The samples of one task in the order in which they are shown; the latest batch is kept."""

    def __init__(self, task: Task, shape: tuple[int, ...]) -> None:
        self.task, self.shape = task, shape
        self.targets: list[int] = task.train.targets[task.order.flatten()].tolist()
        self._latest: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        batch, place = divmod(index, self.task.order.shape[1])
        if self._latest is None or self._latest[0] != batch:
            x, _ = batches_of(self.task, batch, batch + 1)
            self._latest = batch, x[0].unflatten(-1, self.shape)
        return self._latest[1][place], self.targets[index]


class Tested(Dataset[Sample]):
    """The test set of one task; only the one in use is held in memory."""

    def __init__(self, tests: Callable[[int], Tensor], index: int, task: Task, shape: tuple[int, ...]) -> None:
        assert task.test is not None
        self.tests, self.index, self.shape = tests, index, shape
        targets = task.test.targets if task.test_rows is None else task.test.targets[task.test_rows]
        self.targets: list[int] = targets.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        return self.tests(self.index)[index].unflatten(-1, self.shape), self.targets[index]


class _Tests:
    """Inputs of test sets, the latest of which is kept."""

    def __init__(self, stream: TaskStream) -> None:
        self.stream = stream
        self._latest: tuple[int, Tensor] | None = None

    def __call__(self, index: int) -> Tensor:
        if self._latest is None or self._latest[0] != index:
            self._latest = index, self.stream.test(index)[0]
        return self._latest[1]


def _data(samples: Ordered | Tested, label: int | None) -> TaskAwareSupervisedClassificationDataset:
    attributes: Sequence[DataAttribute] = (
        DataAttribute(samples.targets, "targets"),
        TaskLabels(ConstantSequence(label, len(samples))),
    )
    return TaskAwareSupervisedClassificationDataset([samples], data_attributes=list(attributes))
