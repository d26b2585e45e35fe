"""Task streams: seeded sequences of tasks, served in whole stretches of batches.

A stream is a pure function of its seed: any stretch can be asked for at any time, so forks and
restarts see identical batches and nothing about the position has to be saved.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidData, InvalidSetting


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set in memory, split once and for all.

    `inputs` [samples, features] float32 and `targets` [samples] int64 are trained on;
    `test_inputs` and `test_targets`, shaped alike, never are. `shape`: channels, height and width,
    if a sample's features are those of an image, one channel after the other; else None.

    Raises:
        InvalidData: shapes that do not fit, non-finite inputs, labels outside of `classes`.
    """

    name: str
    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    classes: int
    shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.shape is not None and (len(self.shape) != 3 or np.prod(self.shape) != self.features):
            raise InvalidData(
                f"Data set {self.name!r} has shape {self.shape} and {self.features} features; give (channels, height, "
                "width), whose product is the number of features, or None if the samples are no images."
            )
        for part, inputs, targets in (
            ("training", self.inputs, self.targets),
            ("test", self.test_inputs, self.test_targets),
        ):
            where = f"The {part} part of data set {self.name!r}"
            if inputs.ndim != 2 or targets.shape != inputs.shape[:1] or len(targets) == 0:
                raise InvalidData(
                    f"{where} has inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)}; "
                    "give inputs [samples, features], targets [samples], at least one sample."
                )
            if not torch.isfinite(inputs).all():
                raise InvalidData(f"{where} has inputs that are NaN or infinite; remove them.")
            if targets.min() < 0 or targets.max() >= self.classes:
                raise InvalidData(
                    f"{where} has labels {int(targets.min())}..{int(targets.max())}; "
                    f"{self.classes} classes allow 0..{self.classes - 1}."
                )

    @property
    def features(self) -> int:
        """Inputs of one sample."""
        return self.inputs.shape[1]


@dataclass(frozen=True, eq=False)
class Task:
    """One stationary stretch of a stream: what is seen, in which order.

    order: [updates, batch_size] rows of the data set's training part.
    columns: [features] order in which the inputs are seen, or None for the data set's own.
    targets: [samples] labels in place of the data set's own, or None.
    """

    order: Tensor
    columns: Tensor | None = None
    targets: Tensor | None = None


DrawTask = Callable[[int, np.random.Generator], Task]


@dataclass
class TaskStream:
    """The batches that one learner meets in its lifetime.

    Args:
        data: the samples.
        lengths: updates (batches) of each task.
        batch_size: samples per batch.
        draw: makes task `index` from a generator of its own, so that tasks don't depend on the
            order in which they are asked for.
        seed: the only source of randomness.
    """

    data: Dataset
    lengths: Sequence[int]
    batch_size: int
    draw: DrawTask
    seed: int
    _ends: list[int] = field(init=False, repr=False)
    _latest: tuple[int, Task] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1 or self.batch_size < 1:
            raise InvalidSetting(
                f"A stream needs at least one task, one update per task and one sample per batch; "
                f"given lengths {list(self.lengths)[:5]} and batch_size {self.batch_size}."
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

    def task_at(self, update: int) -> int:
        """Index of the task that batch number `update` belongs to."""
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
        """Batches `start` to `stop - 1`: inputs [k, batch_size, features], targets [k, batch_size]."""
        inputs, targets = [], []
        while start < stop:
            index = self.task_at(start)
            end = self._ends[index]
            task, first = self._task(index), end - self.lengths[index]
            rows = task.order[start - first : min(stop, end) - first]  # [k, batch_size]
            # on flat rows, index_select is several times faster than indexing
            seen = self.data.inputs.index_select(0, rows.flatten())  # [k * batch_size, features]
            seen = seen if task.columns is None else seen.index_select(1, task.columns)
            labels = self.data.targets if task.targets is None else task.targets
            inputs.append(seen.unflatten(0, rows.shape))
            targets.append(labels.index_select(0, rows.flatten()).unflatten(0, rows.shape))
            start = min(stop, end)
        if len(inputs) == 1:
            return inputs[0], targets[0]
        return torch.cat(inputs), torch.cat(targets)

    def _task(self, index: int) -> Task:
        if self._latest is None or self._latest[0] != index:
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
            self._latest = (index, self.draw(index, rng))
        return self._latest[1]


class Scenario(Protocol):
    """The frozen settings of a family of streams."""

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed; all streams of one scenario agree in length and shapes."""
        ...


def epochs(rng: np.random.Generator, samples: int, updates: int, batch_size: int) -> Tensor:
    """Rows [updates, batch_size] of as many shuffled passes over `samples` as are needed."""
    needed = updates * batch_size
    passes = -(-needed // samples)
    rows = np.concatenate([rng.permutation(samples) for _ in range(passes)])
    return torch.from_numpy(rows[:needed].reshape(updates, batch_size))
