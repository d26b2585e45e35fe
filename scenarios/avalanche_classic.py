"""Avalanche's classic benchmarks: "avalanche:SplitMNIST", "avalanche:PermutedMNIST" and the like."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from plastic_env.scenarios.family import Family
from plastic_env.streams.stream import TaskStream

if TYPE_CHECKING:
    from plastic_env.avalanche import AvalancheScenario

PREFIX = "avalanche:"
DATA = "PLASTIC_ENV_DATA"  # names the folder of the data


@dataclass(frozen=True)
class AvalancheClassic(Family):
    """What a function of `avalanche.benchmarks.classic` makes, as streams (`plastic_env.avalanche.AvalancheScenario`).

    benchmark: the function's name. tasks: how many experiences. epochs: passes over each, in whole batches. updates:
    batches per task, in place of epochs. batch_size: samples per batch. benchmark_seed: decides what is the same in all
    streams, such as the classes of each task; a stream's own seed decides the order of samples.

    Data are looked for in the folder that the environment variable PLASTIC_ENV_DATA names, laid out as torchvision
    does, else where Avalanche keeps its own; what isn't there is downloaded by Avalanche.
    """

    benchmark: str
    tasks: int = 5
    epochs: int = 1
    updates: int | None = None
    batch_size: int = 16
    benchmark_seed: int = 1

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            UnknownName: no such benchmark. InvalidData: Avalanche can't make it.
        """
        return _scenario(self, os.environ.get(DATA) or None).stream(seed)


@cache
def _scenario(settings: AvalancheClassic, root: str | None) -> AvalancheScenario:
    from plastic_env.avalanche import from_avalanche, make_classic  # Avalanche takes seconds to import

    benchmark = make_classic(settings.benchmark, experiences=settings.tasks, seed=settings.benchmark_seed, root=root)
    return from_avalanche(
        benchmark,
        epochs=settings.epochs,
        updates=settings.updates,
        batch_size=settings.batch_size,
        tasks=settings.tasks,
    )
