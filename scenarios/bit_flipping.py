"""Slowly changing regression: bits that flip one at a time, and a fixed network of thresholds to be predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from plastic_env.errors import InvalidSetting
from plastic_env.scenarios.family import Family
from plastic_env.streams.samples import Samples
from plastic_env.streams.stream import Chain, Signature, Task, TaskStream, task_rng

MEASURED = 4096  # inputs by which the targets' mean and variance are estimated


@dataclass(frozen=True)
class BitFlipping(Family):
    """Predict what a fixed network makes of bits (Dohare et al. 2024, slowly changing regression: 20 bits, 15 of which
    change by one every 10,000 samples, the others in every sample; 100 linear threshold units, beta .7, weights of +1
    and -1; learners of 5 hidden units, one sample at a time, a million of them). Targets are shifted and scaled to mean
    0 and variance 1 over all inputs, which the published ones are not. Accuracy is the share of samples that are
    predicted within half a standard deviation.

    bits: inputs. flipping: how many of them change from task to task, one at a time. units: of the network that is to
        be predicted. beta: what share of its bits a unit wants to see right before it responds.
    tasks: how many. updates: batches per task. batch_size: samples per batch.
    """

    bits: int = 20
    flipping: int = 15
    units: int = 100
    beta: float = 0.7
    tasks: int = 100
    updates: int = 100
    batch_size: int = 16

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            InvalidSetting: more bits flip than there are.
        """
        if self.flipping > self.bits:
            raise InvalidSetting(f"flipping is {self.flipping}, of {self.bits} bits; choose at most all of them.")
        rng = task_rng(seed, 0, 1)
        target = _Target.drawn(rng, self.bits, self.units, self.beta)
        held = Chain(rng.integers(2, size=self.flipping), _flip, seed)

        def samples(index: int, count: int, rng: np.random.Generator) -> Samples:
            slow = np.broadcast_to(held.at(index), (count, self.flipping))
            bits = np.concatenate([slow, rng.integers(2, size=(count, self.bits - self.flipping))], 1)
            return Samples(torch.from_numpy(bits.astype(np.float32)), torch.from_numpy(target(bits).astype(np.float32)))

        def draw(index: int, rng: np.random.Generator) -> Task:
            order = torch.arange(self.updates * self.batch_size).view(self.updates, self.batch_size)
            return Task(samples(index, order.numel(), rng), order, test=samples(index, MEASURED, rng))

        signature = Signature(self.bits, 1, "squared_error")
        return TaskStream(signature, (self.updates,) * self.tasks, self.batch_size, draw, seed)


@dataclass(frozen=True, eq=False)
class _Target:
    """Linear threshold units: weights [units, bits], biases [units], thresholds [units]; outgoing [units]."""

    weights: np.ndarray
    biases: np.ndarray
    thresholds: np.ndarray
    outgoing: np.ndarray
    mean: float = 0.0
    deviation: float = 1.0

    @staticmethod
    def drawn(rng: np.random.Generator, bits: int, units: int, beta: float) -> _Target:
        weights, biases, outgoing = (rng.choice([-1, 1], shape) for shape in ((units, bits), units, units))
        # as the public code has it: S = (m - sum of weights + bias) / 2, which is the number of weights of -1 but for
        # half of the bias
        asked_off = (bits - weights.sum(1) + biases) / 2
        raw = _Target(weights, biases, beta * (bits + 1) - asked_off, outgoing)
        values = raw(rng.integers(2, size=(MEASURED, bits)))
        return replace(raw, mean=float(values.mean()), deviation=float(values.std()) or 1.0)

    def __call__(self, bits: np.ndarray) -> np.ndarray:
        """Values [samples, 1] of bits [samples, bits]."""
        # in floating point, which is exact for such small whole numbers and much faster
        on = bits.astype(np.float64) @ self.weights.T.astype(np.float64) + self.biases > self.thresholds
        return ((on.astype(np.float64) @ self.outgoing.astype(np.float64) - self.mean) / self.deviation)[:, None]


def _flip(bits: np.ndarray, index: int, rng: np.random.Generator) -> np.ndarray:
    """One of them, drawn at random, changes."""
    flipped = bits.copy()
    flipped[rng.integers(len(bits))] ^= 1
    return flipped


SETTINGS = {
    "BitFlipping-small-v0": BitFlipping(),
    "BitFlipping-paper-v0": BitFlipping(20, 15, 100, 0.7, 100, 10_000, 1),
}
