"""Avalanche's benchmarks as scenarios of task streams."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario, CLStream

from plastic_env.avalanche.reading import Part, Reader, image_shape, is_lazy, known_length, shown
from plastic_env.errors import InvalidData, InvalidSetting, PlasticEnvError, check_whole, look_up
from plastic_env.streams.samples import Samples
from plastic_env.streams.stream import Signature, Task, TaskStream, epochs


@dataclass(frozen=True, eq=False, repr=False)
class AvalancheScenario:
    """A benchmark of Avalanche as a family of streams: task i is experience i of the train stream, in shuffled passes
    that the stream's seed decides. Tasks have Avalanche's task labels (which gives all experiences label 0 where it
    means to say nothing of tasks), and experience i of the test stream as their test set, or all of the test stream
    where that has another number of experiences.

    Each experience is made into tensors once, for all streams, when it is first needed; what its transforms draw at
    random is drawn once, too.

    benchmark: with a `train_stream` and, if there is to be a test set, a `test_stream`. epochs: passes over each
        experience, in whole batches. batch_size: samples per batch. updates: batches per task, in place of epochs.
        classes: how many; None counts them. tasks: how many experiences are used; None for all.

    Raises:
        InvalidSetting, InvalidData: no such benchmark, or one whose lengths can't be known (see `updates`, `tasks`,
            `classes`: streams that are generated on the way need the first and the last, endless ones all three).
    """

    benchmark: CLScenario = field(repr=False)
    epochs: int = 1
    batch_size: int = 16
    updates: int | None = None
    classes: int | None = None
    tasks: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "updates", "classes", "tasks"):
            value = getattr(self, name)
            if value is not None or name not in ("updates", "classes", "tasks"):
                check_whole(name, value)
        if not isinstance(getattr(self.benchmark, "train_stream", None), CLStream):
            raise InvalidSetting(
                f"benchmark is {self.benchmark!r}, which has no train_stream; give an Avalanche benchmark (CLScenario)."
            )
        lacking = [name for name in ("updates", "classes") if getattr(self, name) is None]
        if lacking and is_lazy(self.benchmark.train_stream):
            raise InvalidSetting(
                "The benchmark's experiences are generated on the way: their sizes and classes can't be known before; "
                f"give {' and '.join(lacking)}."
            )

    def __repr__(self) -> str:
        """The settings, and the digest in place of the benchmark: None for one that can't be learnt from."""
        settings = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
        try:
            digest = self.digest
        except PlasticEnvError:
            digest = None
        return f"{type(self).__name__}({', '.join(settings)}, digest={digest!r})"

    @cached_property
    def digest(self) -> str:
        """Tells benchmarks apart: of the first experience, of the first sample of each other one and of the size and
        the first sample of each that is tested on (unless that would generate them), of the tasks' number and lengths,
        and of the signature. Reads the first experience."""
        samples = self._part(self._train, 0).samples
        found = hashlib.sha256(repr((len(self._train), self._lengths, self._signature)).encode())
        scaling = [torch.as_tensor(each, dtype=torch.float64) for each in (samples.offset, samples.scale)]
        firsts = [] if is_lazy(self.benchmark.train_stream) else self._firsts(self._train)[2:]
        if self._test is not None and not is_lazy(self._test.stream):
            firsts += self._firsts(self._test)
            firsts += [torch.tensor([len(data) for data in self._data(self._test)])]
        for tensor in (samples.inputs, samples.targets, *scaling, *firsts):
            found.update(tensor.numpy(force=True).tobytes())
        return found.hexdigest()[:16]

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed; all share the experiences' tensors."""
        lengths = self._lengths

        def draw(index: int, rng: np.random.Generator) -> Task:
            part = self._part(self._train, index)
            order = epochs(rng, len(part.samples), lengths[index], self.batch_size)
            return Task(part.samples, order, test=self._tested(index), label=part.label)

        return TaskStream(self._signature, lengths, self.batch_size, draw, seed)

    @cached_property
    def _train(self) -> Reader:
        return self._reader(self.benchmark.train_stream, self.tasks, training=True)

    @cached_property
    def _test(self) -> Reader | None:
        stream = getattr(self.benchmark, "test_stream", None)
        if not isinstance(stream, CLStream) or known_length(stream) == 0:
            return None
        whole = known_length(self.benchmark.train_stream)
        count = known_length(stream)
        return self._reader(stream, len(self._train) if count in (whole, None) else None, training=False)

    def _reader(self, stream: CLStream, wanted: int | None, *, training: bool) -> Reader:
        known = known_length(stream)
        count = wanted or known
        if count is None:
            raise InvalidSetting(
                f"The {stream.name} stream doesn't say how many experiences it has; give tasks=N to read the first N."
            )
        if known is not None and count > known:
            raise InvalidSetting(f"tasks is {count}; the {stream.name} stream has {known} experiences.")
        return Reader(stream, count, training=training)

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        if self.updates is not None:
            return (self.updates,) * len(self._train)
        sizes = [len(data) for data in self._data(self._train)]
        return tuple(max(1, self.epochs * size // self.batch_size) for size in sizes)

    @cached_property
    def _signature(self) -> Signature:
        if is_lazy(self.benchmark.train_stream):
            shape = self._train.part(0).shape
        else:
            first = next(iter(self._data(self._train)))[0][0]
            if not isinstance(first, torch.Tensor):
                raise InvalidData(
                    f"Samples of the benchmark are {type(first).__name__}; give it transforms that end in ToTensor()."
                )
            shape = tuple(first.shape)
        return Signature(image_shape(shape), self.classes or self._count_classes())

    def _count_classes(self) -> int:
        return 1 + max(int(label) for data in self._data(self._train) for label in data.targets.uniques)

    def _data(self, reader: Reader) -> list[Any]:
        """The data sets of all experiences, unread."""
        found = []
        for at, experience in zip(range(len(reader)), reader.stream, strict=False):
            where = f"Experience {at} of the {reader.stream.name} stream"
            found.append(shown(experience, where, training=reader.training))
        return found

    def _firsts(self, reader: Reader) -> list[torch.Tensor]:
        """The first sample and label of every experience."""
        found = []
        with torch.random.fork_rng(devices=()):  # as in reading
            for at, data in enumerate(self._data(reader)):
                torch.manual_seed(at)
                x, y = data[0][:2]
                found += [torch.as_tensor(x) if isinstance(x, torch.Tensor) else torch.empty(0), torch.as_tensor(y)]
        return found

    def _tested(self, index: int) -> Samples | None:
        if self._test is None:
            return None
        if len(self._test) == len(self._train):
            return self._part(self._test, index).samples
        return self._whole_test

    @cached_property
    def _whole_test(self) -> Samples:
        assert self._test is not None
        parts = [self._part(self._test, at).samples for at in range(len(self._test))]
        if len(parts) == 1:
            return parts[0]
        inputs = torch.cat([part.fetch(torch.arange(len(part))) for part in parts])
        return Samples(inputs, torch.cat([part.targets for part in parts]))

    def _part(self, reader: Reader, index: int) -> Part:
        part, signature = reader.part(index), self._signature
        labels = part.samples.targets
        if image_shape(part.shape) != signature.inputs or labels.min() < 0 or labels.max() >= signature.outputs:
            raise InvalidData(
                f"Experience {index} of the {reader.stream.name} stream has samples {part.shape} with labels "
                f"{int(labels.min())}..{int(labels.max())}; the scenario's are {signature.inputs} with labels "
                f"0..{signature.outputs - 1}: mend the benchmark, or give classes."
            )
        return part


def from_avalanche(benchmark: CLScenario, **settings: Any) -> AvalancheScenario:
    """A benchmark of Avalanche as a scenario; `.stream(seed)` is a task stream.

    Args:
        benchmark: one whose experiences have data sets. settings: see `AvalancheScenario`: `epochs`, `batch_size`,
            `updates`, `classes`, `tasks`.

    Raises:
        UnknownName: no such setting. InvalidSetting, InvalidData: see `AvalancheScenario`.
    """
    known = {each.name: None for each in fields(AvalancheScenario) if each.name != "benchmark"}
    for name in settings:
        look_up(known, name, "setting of from_avalanche")
    return AvalancheScenario(benchmark, **settings)
