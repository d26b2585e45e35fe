"""What is timed: networks, batches, optimizers, and the data that all contestants share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from plastic_env import SGD, Adam, Conv, LearnerSettings
from plastic_env.streams.samples import Dataset, Samples
from plastic_env.streams.stream import Signature, Task, TaskStream, epochs

TRUNK = (Conv(32, editable=False), Conv(64, editable=False))
NETS = {
    "64-64-64-10": (64, (64, 64)),
    "784-256-256-10": (784, (256, 256)),
    "ConvNet": ((3, 32, 32), (*TRUNK, 512, 512, 256)),
}
BATCHES = {"64-64-64-10": (16, 32), "784-256-256-10": (16, 32), "ConvNet": (32, 128)}
OPTIMIZERS = {"SGD": SGD(0.01), "Adam": Adam(0.001)}
CLASSES, SAMPLES = 10, 2048


@dataclass(frozen=True)
class Case:
    """One network, one batch size, one optimizer."""

    net: str
    batch: int
    optimizer: str

    def __str__(self) -> str:
        return f"{self.net}, batch {self.batch}, {self.optimizer}"

    @property
    def inputs(self) -> int | tuple[int, int, int]:
        """Features, or channels, height and width."""
        return NETS[self.net][0]

    @property
    def features(self) -> int:
        """Numbers per sample."""
        return int(np.prod(self.inputs))

    @property
    def learner(self) -> LearnerSettings:
        """Ours."""
        return LearnerSettings(hidden=NETS[self.net][1], optimizer=OPTIMIZERS[self.optimizer])

    @property
    def stretch(self) -> int:
        """Updates per call, so that a call takes a good part of a second at most."""
        return 2 if self.net == "ConvNet" else 64

    def module(self) -> nn.Sequential:
        """The same in plain PyTorch; convolutions in channels-last order."""
        if self.net != "ConvNet":
            inputs, (first, second) = NETS[self.net]
            layers = [nn.Linear(inputs, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU()]
            return nn.Sequential(*layers, nn.Linear(second, CLASSES))
        return nn.Sequential(
            *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU()),
            nn.Linear(256, CLASSES),
        ).to(memory_format=torch.channels_last)

    def torch_optimizer(self, parameters) -> torch.optim.Optimizer:
        """The same in plain PyTorch."""
        if self.optimizer == "SGD":
            return torch.optim.SGD(parameters, 0.01)
        return torch.optim.Adam(parameters, 0.001)

    def batches(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """k batches: x [k, batch, features], y [k, batch]."""
        return Noise(self).stream(0).batches(0, k)


@dataclass(frozen=True)
class Noise:
    """A scenario of one long task on random data."""

    case: Case
    updates: int = 100_000

    def stream(self, seed: int) -> TaskStream:
        """Random samples in random order."""
        data = noise(self.case)

        def draw(index: int, rng: np.random.Generator) -> Task:
            return Task(data.train, epochs(rng, SAMPLES, self.updates, self.case.batch))

        return TaskStream(Signature.of(data), (self.updates,), self.case.batch, draw, seed)


@cache
def noise(case: Case) -> Dataset:
    """Standard normal inputs, uniform labels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SAMPLES, case.features, generator=generator)
    y = torch.randint(CLASSES, (SAMPLES,), generator=generator)
    shape = None if isinstance(case.inputs, int) else case.inputs
    return Dataset("noise", Samples(x, y), Samples(x[:10], y[:10]), CLASSES, shape)


CASES = [Case(net, batch, name) for net in NETS for batch in BATCHES[net] for name in OPTIMIZERS]
