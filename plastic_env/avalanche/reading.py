"""Avalanche's experiences made into tensors, each once, when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.benchmarks import CLExperience, CLStream
from avalanche.benchmarks.scenarios.deprecated.dataset_scenario import DatasetStream
from avalanche.benchmarks.scenarios.generic_scenario import EagerCLStream, SequenceCLStream
from torch import Tensor
from torch.utils.data import DataLoader

from plastic_env.errors import InvalidData
from plastic_env.streams.samples import Samples

BATCH = 256  # samples fetched at a time
_LEVELS = 256  # of a byte
_ROUNDING = 1e-6  # by which a value read from bytes may differ, relative to the largest


@dataclass(frozen=True, eq=False)
class Part:
    """What one experience holds.

    shape: of a sample, as it came. label: the experience's task label, None if it has none or several.
    """

    samples: Samples  #: with the labels of the benchmark
    shape: tuple[int, ...]
    label: int | None


class Reader:
    """The experiences of one stream.

    Streams that can be indexed are read in any order; others (generators) from the start, as far as is needed.

    Args:
        stream: of Avalanche. count: how many experiences are used. training: whether they are shown as in training
            (transform group "train") or as in evaluation ("eval").
    """

    def __init__(self, stream: CLStream, count: int, *, training: bool) -> None:
        self.stream, self.count, self.training = stream, count, training
        self._parts: dict[int, Part] = {}
        self._rest: Iterator[CLExperience] | None = None

    def __len__(self) -> int:
        return self.count

    def part(self, index: int) -> Part:
        """Experience number `index`.

        Raises:
            InvalidData: what can't be learnt from, or a stream that ends too early.
        """
        while index not in self._parts:
            at = index if isinstance(self.stream, SequenceCLStream) else len(self._parts)
            self._parts[at] = self._read(self._next(at), at)
        return self._parts[index]

    def _next(self, at: int) -> CLExperience:
        if isinstance(self.stream, SequenceCLStream):
            return self.stream[at]
        if self._rest is None:
            self._rest = iter(self.stream)
        try:
            return next(self._rest)
        except StopIteration:
            raise InvalidData(
                f"The {self.stream.name} stream ends after {at} experiences, not {self.count}; give tasks={at}."
            ) from None

    def _read(self, experience: CLExperience, at: int) -> Part:
        where = f"Experience {at} of the {self.stream.name} stream"
        data = shown(experience, where, training=self.training)
        with torch.random.fork_rng(devices=()):  # transforms may draw: the same whoever reads, and nobody else notices
            torch.manual_seed(at)
            x, y = _collect(data, where)
        shape = tuple(x.shape[1:])
        return Part(pack(x.flatten(1), y, shape), shape, _label(experience))


def known_length(stream: CLStream) -> int | None:
    """How many experiences a stream has, if that can be known without reading it."""
    for sized in (stream, stream.exps_iter):
        try:
            return len(sized)
        except TypeError:
            continue
    return None


def is_lazy(stream: CLStream) -> bool:
    """Whether looking at a stream's experiences would generate them."""
    if isinstance(stream, DatasetStream):
        return bool(stream.benchmark.stream_definitions[stream.name].is_lazy)
    return not (isinstance(stream, EagerCLStream) or isinstance(stream.exps_iter, (list, tuple)))


def shown(experience: CLExperience, where: str, *, training: bool) -> Any:
    """The experience's data set with the transforms of training or evaluation.

    Raises:
        InvalidData: it has no data set.
    """
    data = getattr(experience, "dataset", None)
    if data is None or not hasattr(data, "__getitem__"):
        raise InvalidData(f"{where} has no data set; give a benchmark whose experiences have one (DatasetExperience).")
    if not len(data):
        raise InvalidData(f"{where} is empty; leave it out of the benchmark.")
    group = "train" if training else "eval"
    return getattr(data, group)() if hasattr(data, group) else data


def image_shape(shape: Sequence[int]) -> int | tuple[int, int, int]:
    """A sample's shape as streams name it: (channels, height, width), or a number of features."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    return int(torch.Size(shape).numel())


def pack(x: Tensor, y: Tensor, shape: Sequence[int]) -> Samples:
    """Samples [n, features] as bytes with an offset and a scale (per channel, if `shape` has them) where they are
    evenly spaced levels to within float32's rounding, such as images scaled and normalised; else as float32.

    Raises:
        InvalidData: values that are NaN or infinite.
    """
    if x.dtype == torch.uint8:
        return Samples(x, y)
    x = x.float()
    if not torch.isfinite(x).all():
        raise InvalidData("There are inputs that are NaN or infinite; remove them, or mend the transforms.")
    channels = x.unflatten(1, (shape[0] if len(shape) == 3 else 1, -1)).unbind(1)
    levels = [_levels(channel) for channel in channels]
    if None in levels:
        return Samples(x, y)
    stored = torch.empty_like(x, dtype=torch.uint8)
    places = stored.unflatten(1, (len(channels), -1)).unbind(1)
    for channel, place, (low, step) in zip(channels, places, levels, strict=True):  # type: ignore[misc]
        place.copy_(channel.sub(low).div_(step).round_())
    offsets, scales = ([-low / step for low, step in levels], [step for _, step in levels])  # type: ignore[misc]
    if len(channels) == 1:
        return Samples(stored, y, offsets[0], scales[0])
    each = x.shape[1] // len(channels)
    return Samples(stored, y, *(torch.tensor(values).repeat_interleave(each) for values in (offsets, scales)))


def _levels(x: Tensor) -> tuple[float, float] | None:
    """The lowest value and the distance between levels, if there are no more than a byte can tell apart."""
    some = x[:64].unique()
    if not 1 < len(some) <= _LEVELS:
        return None
    low, high = (float(value) for value in (x.min(), x.max()))
    count = round((high - low) / float(some.double().diff().min()))
    if count >= _LEVELS:
        return None
    step = (high - low) / count
    error = x.sub(low).div_(step).round_().mul_(step).add_(low).sub_(x).abs_().max()
    return (low, step) if error <= _ROUNDING * max(abs(low), abs(high)) else None


def _collect(data: Any, where: str) -> tuple[Tensor, Tensor]:
    """All samples [n, ...] and labels [n] of a data set, in order."""
    x: Tensor | None = None
    y = torch.empty(len(data), dtype=torch.int64)
    done = 0
    for batch in DataLoader(data, batch_size=BATCH, collate_fn=getattr(data, "collate_fn", None)):
        inputs, labels = batch[0], torch.as_tensor(batch[1])
        _check(inputs, labels, where)
        if x is None:
            x = inputs.new_empty(len(data), *inputs.shape[1:])
        x[done : done + len(inputs)], y[done : done + len(inputs)] = inputs, labels
        done += len(inputs)
    assert x is not None
    return x, y


def _check(inputs: object, labels: Tensor, where: str) -> None:
    if not isinstance(inputs, Tensor) or labels.is_floating_point() or labels.ndim != 1:
        given = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise InvalidData(
            f"{where} has inputs {given} and labels {labels.dtype} {tuple(labels.shape)}; give samples that are a "
            "tensor and one whole number each (transforms must end in tensors: ToTensor())."
        )


def _label(experience: CLExperience) -> int | None:
    labels = set(getattr(experience, "task_labels", ()))
    return int(labels.pop()) if len(labels) == 1 else None
