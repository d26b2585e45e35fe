"""Avalanche's classic benchmarks: "avalanche:SplitMNIST", "avalanche:PermutedMNIST" and the like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from plastic_env.scenarios.data import places
from plastic_env.scenarios.data.named import PUBLISHED
from plastic_env.scenarios.family import Family
from plastic_env.streams.stream import TaskStream

if TYPE_CHECKING:
    from plastic_env.avalanche import AvalancheScenario

PREFIX = "avalanche:"
_DATA = {
    **dict.fromkeys(("SplitMNIST", "PermutedMNIST", "RotatedMNIST"), "mnist"),
    **{"SplitFMNIST": "fashion_mnist", "SplitCIFAR10": "cifar10", "SplitCIFAR100": "cifar100"},
    "SplitTinyImageNet": "tiny_imagenet",
}  # which of `PUBLISHED` a benchmark is of


@dataclass(frozen=True)
class AvalancheClassic(Family):
    """What a function of `avalanche.benchmarks.classic` makes, as streams (`plastic_env.avalanche.AvalancheScenario`).

    benchmark: the function's name. tasks: how many experiences. epochs: passes over each, in whole batches. updates:
    batches per task, in place of epochs. batch_size: samples per batch. benchmark_seed: decides what is the same in all
    streams, such as the classes of each task; a stream's own seed decides the order of samples.

    Data are looked for in the folder that the environment variable PLASTIC_ENV_DATA names (or the data set's own folder
    in it, such as mnist, if that holds them), laid out as torchvision does, else where Avalanche keeps its own; what
    isn't there is downloaded by Avalanche.
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
        return self._made.stream(seed)

    @property
    def digest(self) -> str:
        """Of what the benchmark holds: see `AvalancheScenario.digest`."""
        return self._made.digest

    @property
    def _made(self) -> AvalancheScenario:
        return _scenario(self, root_of(self.benchmark))


def root_of(benchmark: str) -> str | None:
    """The folder that Avalanche is given for a benchmark's data: of those in $PLASTIC_ENV_DATA, the data set's own one
    if that holds it (there plastic_env's downloads go); None for Avalanche's own."""
    folder = places.given()
    if folder is None:
        return None
    source = PUBLISHED.get(_DATA.get(benchmark, ""))
    own = folder if source is None else folder / source.key
    return str(own if source is not None and (own / source.files).is_dir() else folder)


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
