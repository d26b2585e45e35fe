"""Task streams: seeded sequences of tasks, served in whole stretches of batches.

A stream is a pure function of its seed: any stretch can be asked for at any time, so forks and
restarts see identical batches and nothing about the position has to be saved.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidData, InvalidSetting
from plastic_env.streams.samples import Dataset, Samples
from plastic_env.streams.transforms import Transform

State = TypeVar("State")


@dataclass(frozen=True)
class Signature:
    """What a learner must take in and give out.

    inputs: how many features a sample has, or (channels, height, width) of an image.
    outputs: how many classes, or values to be predicted.
    loss: "cross_entropy" or "squared_error".
    """

    inputs: int | tuple[int, int, int]
    outputs: int
    loss: str = "cross_entropy"

    @staticmethod
    def of(data: Dataset, classes: int | None = None) -> Signature:
        """The signature of classifying `data`; `classes`: another number of outputs."""
        return Signature(data.shape or data.features, classes or data.classes)

    @property
    def features(self) -> int:
        """Inputs of one sample."""
        return int(np.prod(self.inputs))

    def targets(self, *shape: int) -> Tensor:
        """Zeros for so many samples: labels `shape`, or values [*shape, outputs]."""
        if self.loss == "squared_error":
            return torch.zeros(*shape, self.outputs)
        return torch.zeros(*shape, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class Task:
    """One stationary stretch of a stream: what is seen, in which order.

    train: what is trained on, with this task's targets. order: [updates, batch_size] its rows.
    transform: what is done to the inputs, or None.
    test: what the task's knowledge is measured on, with this task's targets, or None if there is nothing to know.
        test_rows: [samples] which of it, or None for all.
    label: what a learner that may know its task would be told (Avalanche's task label): a task that comes back has the
        label that it had. None: nothing but its number.
    """

    train: Samples
    order: Tensor
    transform: Transform | None = None
    test: Samples | None = None
    test_rows: Tensor | None = None
    label: int | None = None

    @property
    def tested_rows(self) -> Tensor:
        """[samples] which rows of `test` are measured on; none without a test set."""
        every = torch.arange(0 if self.test is None else len(self.test))
        return every if self.test_rows is None else self.test_rows


DrawTask = Callable[[int, np.random.Generator], Task]


@dataclass
class TaskStream:
    """The batches that one learner meets in its lifetime.

    Args:
        signature: what a learner must take in and give out.
        lengths: updates (batches) of each task.
        batch_size: samples per batch.
        draw: makes task `index` from a generator of its own, so that tasks don't depend on the
            order in which they are asked for.
        seed: the only source of randomness.
        scored: whether each task counts for the score, or None if all do.

    Raises:
        InvalidSetting: no task, an empty one, an empty batch, or not one value of `scored` for each task.
    """

    signature: Signature
    lengths: Sequence[int]
    batch_size: int
    draw: DrawTask
    seed: int
    scored: Sequence[bool] | None = None
    _ends: list[int] = field(init=False, repr=False)
    _latest: tuple[int, Task] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1 or self.batch_size < 1:
            raise InvalidSetting(
                f"A stream needs at least one task, one update per task and one sample per batch; "
                f"given lengths {list(self.lengths)[:5]} and batch_size {self.batch_size}."
            )
        if self.scored is not None and (len(self.scored) != len(self.lengths) or not any(self.scored)):
            raise InvalidSetting(
                f"scored has {len(self.scored)} values, {sum(self.scored)} of them true; give one for each of the "
                f"{len(self.lengths)} tasks, at least one of them true, or None."
            )
        self._ends = list(accumulate(self.lengths))

    @property
    def updates(self) -> int:
        """Length of the whole stream, in batches."""
        return self._ends[-1]

    @property
    def shifts(self) -> tuple[int, ...]:
        """The updates at which a new task starts, the first task aside."""
        return tuple(self._ends[:-1])

    def weights(self, start: int, stop: int) -> np.ndarray:
        """[stop - start] what batches `start` to `stop - 1` count for the stream's score: equal shares of 1, or 0."""
        if self.scored is None:
            return np.full(stop - start, 1 / self.updates)
        share = 1 / sum(length for length, scored in zip(self.lengths, self.scored, strict=True) if scored)
        tasks = np.searchsorted(self._ends, np.arange(start, stop), side="right")
        return np.where(np.asarray(self.scored)[tasks], share, 0.0)

    def task_at(self, update: int) -> int:
        """Index of the task that batch number `update` belongs to.

        Raises:
            IndexError: there is no such batch.
        """
        if not 0 <= update < self.updates:
            raise IndexError(f"Update {update} is outside of the stream's {self.updates} updates.")
        return bisect_right(self._ends, update)

    def is_shift(self, update: int) -> bool:
        """Whether another task starts at `update`; the stream's two ends are no shifts."""
        return 0 < update < self.updates and self._ends[self.task_at(update - 1)] == update

    def next_shift(self, update: int) -> int:
        """The first update after `update` at which a task ends: a shift, or the stream's end."""
        return self._ends[self.task_at(update)]

    def batches(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Batches `start` to `stop - 1`: inputs [k, batch_size, features] float32, targets [k, batch_size] int64, or
        [k, batch_size, outputs] float32."""
        parts = []
        while start < stop:
            index = self.task_at(start)
            end = self._ends[index]
            first = end - self.lengths[index]
            parts.append(batches_of(self.task(index), start - first, min(stop, end) - first))
            start = min(stop, end)
        x, y = zip(*parts, strict=True)
        return (x[0], y[0]) if len(parts) == 1 else (torch.cat(x), torch.cat(y))

    def test(self, index: int, *, cumulative: bool = False) -> tuple[Tensor, Tensor]:
        """What the knowledge of task `index` is measured on: inputs [samples, features], targets [samples] (or
        [samples, outputs]), shown as in that task.

        cumulative: of all tasks up to that one, one after the other.

        Raises:
            InvalidData: the task has no test set, such as memorised labels.
        """
        if cumulative:
            parts = [self.test(at) for at in range(index + 1)]
            return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
        task = self.task(index)
        if task.test is None:
            raise InvalidData(f"Task {index} has no test set: there is nothing to know beyond what is trained on.")
        rows = task.tested_rows
        x = task.test.fetch(rows)[None]  # [1, samples, features]
        return (x if task.transform is None else task.transform(x, -1))[0], task.test.targets[rows]

    def task(self, index: int) -> Task:
        """Task number `index`, from 0.

        Raises:
            IndexError: there is no such task.
        """
        if self._latest is None or self._latest[0] != index:
            if not 0 <= index < len(self.lengths):
                raise IndexError(f"There is no task {index!r}; there are {len(self.lengths)}, numbered from 0.")
            self._latest = (index, self.draw(index, task_rng(self.seed, index)))
        return self._latest[1]


class Scenario(Protocol):
    """The frozen settings of a family of streams."""

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed; all streams of one scenario agree in their signature, in the number of their
        updates and in the size of their batches."""
        ...


@dataclass
class Chain(Generic[State]):
    """What changes bit by bit from task to task.

    Args:
        start: the state in task 0.
        change: the state in the next task, from the one before, that task's index and a generator of its own; leaves
            the one before alone.
        seed: decides all of it.
    """

    start: State
    change: Callable[[State, int, np.random.Generator], State]
    seed: int
    _latest: tuple[int, State] | None = field(init=False, repr=False, default=None)

    def at(self, index: int) -> State:
        """The state in task `index`."""
        at, state = self._latest if self._latest is not None and self._latest[0] <= index else (0, self.start)
        for following in range(at + 1, index + 1):
            state = self.change(state, following, task_rng(self.seed, following, 1))
        self._latest = (index, state)
        return state


def task_rng(seed: int, *key: int) -> np.random.Generator:
    """A generator of its own for each part of a stream."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def epochs(rng: np.random.Generator, samples: int, updates: int, batch_size: int) -> Tensor:
    """Rows [updates, batch_size] of as many shuffled passes over `samples` as are needed."""
    needed = updates * batch_size
    passes = -(-needed // samples)
    rows = np.concatenate([rng.permutation(samples) for _ in range(passes)])
    return torch.from_numpy(rows[:needed].reshape(updates, batch_size))


def batches_of(task: Task, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Batches `start` to `stop - 1` of one task, as `TaskStream.batches` gives them: [k, batch_size, ...]."""
    rows = task.order[start:stop]  # [k, batch_size]
    x = task.train.fetch(rows.flatten()).unflatten(0, rows.shape)
    y = task.train.targets.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    return x if task.transform is None else task.transform(x, start), y
