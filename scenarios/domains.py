"""Domain-incremental: the same classes seen through more and more noise, or less and less contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used
from plastic_env.streams.stream import Signature, Task, TaskStream
from plastic_env.streams.transforms import Contrast, InTurn, Noise


@dataclass(frozen=True)
class Domains(Family):
    """Each task shows all classes under other conditions: contrast, then noise (two of the corruptions of Hendrycks &
    Dietterich 2019, as domains that come one after the other).

    data: name of the data set. noise: standard deviation of the Gaussian noise in each task, drawn anew whenever a
        sample is shown; inputs have variance 1. contrast: what is left of each sample's differences from its own mean
        in each task. The conditions come back from the start when there are more tasks than that.
    tasks: how many. updates: batches per task. batch_size: samples per batch, drawn in shuffled passes.

    Raises:
        InvalidSetting: values outside of these.
    """

    data: str = "digits"
    noise: tuple[float, ...] = (0.0,)
    contrast: tuple[float, ...] = (1.0,)
    tasks: int = 20
    updates: int = 100
    batch_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise", "contrast"):
            values = getattr(self, name)
            numbers = isinstance(values, tuple) and all(isinstance(value, (int, float)) for value in values)
            if not numbers or not values or not all(0 <= value < np.inf for value in values):
                raise InvalidSetting(f"{name} is {values!r}; give a tuple of numbers of at least 0, one per condition.")

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed."""
        data = load(self.data)
        rows, conditions = rows_used(data, None, seed), int(np.lcm(len(self.noise), len(self.contrast)))

        def draw(index: int, rng: np.random.Generator) -> Task:
            noise, contrast = (levels[index % len(levels)] for levels in (self.noise, self.contrast))
            shown = InTurn((Contrast(contrast), Noise(noise, int(rng.integers(2**63)))))
            order = ordered(rows, self.updates, self.batch_size, rng)
            return Task(data.train, order, shown, data.test, label=index % conditions)

        return TaskStream(Signature.of(data), (self.updates,) * self.tasks, self.batch_size, draw, seed)


SETTINGS = {
    "NoiseDigits-small-v0": Domains(noise=(0.0, 0.5, 1.0, 1.5, 2.0)),
    "ContrastDigits-small-v0": Domains(contrast=(1.0, 0.6, 0.3, 0.15, 0.05)),
}
