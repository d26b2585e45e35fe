"""How fast batches come: our streams against Avalanche's own loaders on the same experiences.

    python benchmarks/streams.py [SCENARIO ...]

Both hand out the batches of a stream's first tasks, as many as make 600 batches, on one thread: ours in stretches of 64
as learners are served, the drawing of the tasks included; Avalanche's one by one from data sets that lie in memory
(TensorDataset), shuffled, by the loader that its strategies take where there are task labels (TaskBalancedDataLoader,
"balanced") and by the one where there are none (torch's DataLoader over Avalanche's data set, "plain"). Each is warmed
up; medians of interleaved rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from itertools import accumulate

import torch
from avalanche.benchmarks.utils import (
    ConstantSequence,
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
    TaskLabels,
    as_classification_dataset,
)
from avalanche.benchmarks.utils.data_loader import TaskBalancedDataLoader
from torch.utils.data import DataLoader, TensorDataset

from plastic_env.scenarios import SCENARIOS, find
from plastic_env.streams.stream import TaskStream

BATCHES = 600
ROUNDS = 7
STRETCH = 64  # batches that learners are served at a time
LEAST = 0.05  # seconds that ours are timed for, in as many passes as that takes


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    names = sys.argv[1:] or [name for name in SCENARIOS if name.endswith("-small-v0")]
    header = ("x balanced", "x plain", "ours /s", "balanced /s", "plain /s")
    print(f"{'scenario':34}" + "".join(f"{title:>13}" for title in header))
    worst = [float("inf")] * 2
    for name in names:
        ours, balanced, plain = measure(find(name).stream(0))
        worst = [min(worst[0], ours / balanced), min(worst[1], ours / plain)]
        values = (f"{ours / balanced:.0f}", f"{ours / plain:.0f}", *(f"{r:,.0f}" for r in (ours, balanced, plain)))
        print(f"{name:34}" + "".join(f"{value:>13}" for value in values), flush=True)
    print(f"{'least':34}{worst[0]:13.0f}{worst[1]:13.0f}")


def measure(stream: TaskStream) -> list[float]:
    """Batches per second of the stream, of Avalanche's TaskBalancedDataLoader and of the DataLoader; medians."""
    stop = next((end for end in accumulate(stream.lengths) if end >= BATCHES), stream.updates)
    data = in_memory(stream, stop)
    contestants = [lambda: serve(stream, stop), balanced_loaders(data, stream), plain_loaders(data, stream)]
    for contestant in contestants:
        contestant()
    rates: list[list[float]] = [[] for _ in contestants]
    for _ in range(ROUNDS):
        for contestant, found in zip(contestants, rates, strict=True):
            batches, start = 0, time.perf_counter()
            while batches == 0 or (contestant is contestants[0] and time.perf_counter() - start < LEAST):
                batches += contestant()
            found.append(batches / (time.perf_counter() - start))
    return [statistics.median(found) for found in rates]


def serve(stream: TaskStream, stop: int) -> int:
    """Fetch the stream's batches before `stop`; returns how many."""
    for at in range(0, stop, STRETCH):
        stream.batches(at, min(at + STRETCH, stop))
    return stop


def in_memory(stream: TaskStream, stop: int) -> list[TensorDataset]:
    """The samples that each task shows, as tensors."""
    found, start = [], 0
    while start < stop:
        end = stream.next_shift(start)
        x, y = stream.batches(start, end)
        samples = TensorDataset(x.flatten(0, 1), y.flatten())
        samples.targets = y.flatten().tolist()  # type: ignore[attr-defined]
        found.append(samples)
        start = end
    return found


def balanced_loaders(data: list[TensorDataset], stream: TaskStream) -> Callable[[], int]:
    """A pass over all experiences as strategies make it where experiences have task labels."""
    labelled = []
    for label, samples in enumerate(data):
        targets = DataAttribute(samples.targets, "targets")  # type: ignore[attr-defined]
        attributes = [targets, TaskLabels(ConstantSequence(label, len(samples)))]
        labelled.append(TaskAwareSupervisedClassificationDataset([samples], data_attributes=attributes).train())
    size = stream.batch_size
    return lambda: sum(
        count(TaskBalancedDataLoader(part, batch_size=size, shuffle=True, oversample_small_groups=True))
        for part in labelled
    )


def plain_loaders(data: list[TensorDataset], stream: TaskStream) -> Callable[[], int]:
    """The same where they have none."""
    parts = [as_classification_dataset(samples).train() for samples in data]
    return lambda: sum(count(DataLoader(part, batch_size=stream.batch_size, shuffle=True)) for part in parts)


def count(loader: Iterable[object]) -> int:
    """Fetch all batches; returns how many."""
    return sum(1 for _ in loader)


if __name__ == "__main__":
    main()
