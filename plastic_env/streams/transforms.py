"""What a task does to the inputs before a learner sees them: pixels moved, noise, contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

NOISE_BLOCK = 32  # batches whose noise is drawn at once: starting a generator takes longer than drawing for a batch


class Transform(Protocol):
    """Shows the inputs of a task in another way."""

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """Inputs [k, batch, features] of the task's batches number `start` and following as they are shown: a new
        tensor, or `x` itself, changed. A `start` of -1 is the test set."""
        ...


@dataclass(frozen=True, eq=False)
class Moved:
    """Every pixel shows another one, or nothing.

    source: [features] which input each one shows; -1 for none.
    blank: what is shown then: [features] or one number.
    """

    source: np.ndarray
    blank: Tensor | float = 0.0

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """Fetch each from its source."""
        seen = x.flatten(0, 1).index_select(1, self._columns)
        if self._empty.any():
            seen = torch.where(self._empty, torch.as_tensor(self.blank), seen)
        return seen.view_as(x)

    @cached_property
    def _columns(self) -> Tensor:
        return torch.from_numpy(self.source.clip(0))

    @cached_property
    def _empty(self) -> Tensor:
        return torch.from_numpy(self.source < 0)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise, drawn anew for every sample that is shown.

    deviation: its standard deviation, in units of the inputs' own. seed: decides all of it.
    """

    deviation: float
    seed: int

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """Add noise that depends on the number of the batch alone."""
        if self.deviation == 0:
            return x
        if start < 0:
            return x.add_(self._draw(0, x.shape), alpha=self.deviation)
        at, stop = start, start + len(x)
        while at < stop:
            block, place = divmod(at, NOISE_BLOCK)
            count = min(NOISE_BLOCK - place, stop - at)
            noise = self._draw(block + 1, torch.Size((NOISE_BLOCK, *x.shape[1:])))
            x[at - start :][:count].add_(noise[place : place + count], alpha=self.deviation)
            at += count
        return x

    def _draw(self, key: int, shape: torch.Size) -> Tensor:
        # PyTorch's generators take only 64 bits, and streams that differ by one must not be alike
        seed = int(np.random.SeedSequence(self.seed, spawn_key=(key,)).generate_state(1, np.uint64)[0])
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Contrast:
    """Every sample is drawn towards its own mean.

    factor: what is left of the differences from it; above 1 they grow.
    """

    factor: float

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """Scale the differences."""
        return x if self.factor == 1 else torch.lerp(x.mean(-1, keepdim=True), x, self.factor)


@dataclass(frozen=True)
class InTurn:
    """One transform after the other."""

    parts: Sequence[Transform]  #: in the order in which they act

    def __call__(self, x: Tensor, start: int) -> Tensor:
        """Apply them."""
        for part in self.parts:
            x = part(x, start)
        return x


def rotation(shape: tuple[int, int, int], degrees: float) -> np.ndarray:
    """[features] which pixel each one shows when images [channels, height, width] are turned counter-clockwise about
    their centre: the nearest one, or -1 where that lies outside, for `Moved`."""
    channels, height, width = shape
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    # the exact halves that right angles bring must not fall to either side by rounding
    row = np.rint(np.round(sine * x + cosine * y + (height - 1) / 2, 9)).astype(int)
    column = np.rint(np.round(cosine * x - sine * y + (width - 1) / 2, 9)).astype(int)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    flat = np.where(inside, row * width + column, -1).ravel()
    planes = np.arange(channels)[:, None] * height * width
    return np.where(flat < 0, -1, planes + flat).ravel()
