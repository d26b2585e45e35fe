"""SGD and Adam over flat rows of parameters, with an optimizer age and a speed per unit.

The age of a parameter is the number of updates since *both* of its units started (or restarted):
a newborn's incoming and outgoing weights begin at age 0 beside incumbents of age 10,000. Adam's bias
correction uses that age. With the layer's age instead, the first update of a newborn would be
(1 - b1) / sqrt(1 - b2) = 3.2 times the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidSetting
from plastic_env.learner.parameters import Layout


@dataclass(frozen=True)
class Timing:
    """When optimizer states of m learners were started, and how fast their units are to learn now.

    now: [m] updates made so far.
    starts: per layer, the head included, [m, width]: start of each unit's state. Inputs are as old as the oldest.
    speeds: per layer [k, m, width] factors of the changes in the coming k updates; None where all are 1.
    """

    now: np.ndarray
    starts: list[np.ndarray]
    speeds: list[np.ndarray] | None = None

    def uniform(self) -> bool:
        """Whether in each learner everything started at once."""
        first = self.starts[0][:, :1]
        return all((starts == first).all() for starts in self.starts)


class Factors(Protocol):
    """A factor for every parameter, update by update."""

    def at(self, step: int) -> Tensor:
        """Factors [m, 1] or [m, P] of update number `step` from now."""
        ...


class Optimizer(Protocol):
    """An update rule; frozen settings only, its state lies with the population."""

    @property
    def moments(self) -> int:
        """How many numbers of state it keeps per parameter."""
        ...

    def schedule(self, layout: Layout, timing: Timing, updates: int, like: Tensor) -> Schedule:
        """Prepare `updates` updates of m learners, typed and placed as the flat weights `like` [m, P]."""
        ...


class Schedule(Protocol):
    """The updates of one stretch of training."""

    @property
    def descent(self) -> float | None:
        """lr, if an update is nothing but w <- w - lr * gradient; else None."""
        ...

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> tuple[Tensor, float]:
        """Update `weights` [m, P] and `moments` in place; `gradients` is used as scratch space.

        Returns:
            A tensor and a number, whose product has been subtracted from the weights; good until the next update.
        """
        ...


@dataclass(frozen=True)
class SGD:
    """w <- w - lr b, with b <- momentum b + gradient (torch.optim.SGD without dampening)."""

    lr: float = 0.01
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _require_positive_lr(self.lr)
        if not 0 <= self.momentum < 1:
            raise InvalidSetting(f"momentum is {self.momentum}; it must lie in [0, 1).")

    @property
    def moments(self) -> int:
        """Numbers of state kept per parameter."""
        return int(self.momentum > 0)

    def schedule(self, layout: Layout, timing: Timing, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates."""
        return _SGDSchedule(self, _speeds(layout, timing, like))


@dataclass(frozen=True)
class _SGDSchedule:
    settings: SGD
    speeds: Factors | None

    @property
    def descent(self) -> float | None:
        return self.settings.lr if self.speeds is None and not self.settings.momentum else None

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> tuple[Tensor, float]:
        change = moments[0].mul_(self.settings.momentum).add_(gradients) if moments else gradients
        if self.speeds is not None:
            change = torch.mul(change, self.speeds.at(step), out=gradients)
        weights.add_(change, alpha=-self.settings.lr)
        return change, self.settings.lr


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015) as torch.optim.Adam computes it, except for the age per unit."""

    lr: float = 0.003
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _require_positive_lr(self.lr)
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and self.eps > 0):
            raise InvalidSetting(
                f"Adam got beta1={self.beta1}, beta2={self.beta2}, eps={self.eps}; "
                "betas must lie in [0, 1) and eps must be positive."
            )

    @property
    def moments(self) -> int:
        """Numbers of state kept per parameter."""
        return 2

    def schedule(self, layout: Layout, timing: Timing, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates."""
        first = timing.now[None] + np.arange(1, updates + 1)[:, None]  # [updates, m]
        steps: Factors
        scales: Factors
        if timing.uniform():
            whole = first - timing.starts[0][:, 0]
            steps, scales = (_Shared(rule(whole), like) for rule in (self._step, self._scale))
        else:
            ages = [first[..., None] - starts for starts in timing.starts]
            # both rules fall with age: the larger factor is that of the younger unit
            steps, scales = (_Spread(layout, [rule(age) for age in ages], like) for rule in (self._step, self._scale))
        return _AdamSchedule(self, steps, scales, _speeds(layout, timing, like))

    def _step(self, age: np.ndarray) -> np.ndarray:
        return self.lr / (1 - self.beta1**age)

    def _scale(self, age: np.ndarray) -> np.ndarray:
        return 1 / np.sqrt(1 - self.beta2**age)


@dataclass(frozen=True)
class _AdamSchedule:
    settings: Adam
    steps: Factors
    scales: Factors
    speeds: Factors | None

    descent = None

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> tuple[Tensor, float]:
        mean, square = moments
        mean.lerp_(gradients, 1 - self.settings.beta1)
        square.mul_(self.settings.beta2).addcmul_(gradients, gradients, value=1 - self.settings.beta2)
        denominator = torch.sqrt(square, out=gradients).mul_(self.scales.at(step)).add_(self.settings.eps)
        change = torch.div(mean, denominator, out=gradients).mul_(self.steps.at(step))
        if self.speeds is not None:
            change.mul_(self.speeds.at(step))
        weights.sub_(change)
        return change, 1.0


class _Shared:
    """All parameters of a learner share one factor: [updates, m]."""

    def __init__(self, factors: np.ndarray, like: Tensor) -> None:
        self.factors = torch.from_numpy(factors).to(like)[..., None]

    def at(self, step: int) -> Tensor:
        return self.factors[step]


class _Spread:
    """Every parameter takes the larger one of the factors of its two units; inputs have none.

    units: per layer [updates, m, width].
    """

    def __init__(self, layout: Layout, units: list[np.ndarray], like: Tensor) -> None:
        self.flat = torch.empty_like(like)
        views = layout.views(self.flat)
        self.layers = [(layer.blocks(block), layer.vectors) for layer, block in zip(views, layout.blocks, strict=True)]
        self.units = [torch.from_numpy(axis).to(like) for axis in units]

    def at(self, step: int) -> Tensor:
        below = None
        for (weight, vectors), units in zip(self.layers, self.units, strict=True):
            above = units[step]  # [m, width]
            rows = above[:, :, None, None].expand_as(weight)
            if below is None:
                weight.copy_(rows)
            else:
                torch.maximum(rows, below[:, None, :, None].expand_as(weight), out=weight)
            vectors.copy_(above[:, None, :])
            below = above
        return self.flat


def _speeds(layout: Layout, timing: Timing, like: Tensor) -> Factors | None:
    return None if timing.speeds is None else _Spread(layout, timing.speeds, like)


def _require_positive_lr(lr: float) -> None:
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not (np.isfinite(lr) and lr > 0):
        raise InvalidSetting(f"The learning rate is {lr!r}; it must be positive and finite.")
