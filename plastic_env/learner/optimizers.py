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
from plastic_env.learner.network import Layout


@dataclass(frozen=True)
class Timing:
    """When optimizer states of m learners were started, and how fast their units are to learn now.

    now: [m] updates made so far.
    whole: [m] start of the inputs' and the head's state.
    units: per hidden layer [m, width], start of each unit's state.
    whole_speed, unit_speeds: factors of the changes in the coming k updates, [k, m] and per hidden layer [k, m, width];
        None where all are 1.
    """

    now: np.ndarray
    whole: np.ndarray
    units: list[np.ndarray]
    whole_speed: np.ndarray | None = None
    unit_speeds: list[np.ndarray] | None = None

    def uniform(self) -> bool:
        """Whether in each learner everything started at once."""
        return all((units == self.whole[:, None]).all() for units in self.units)


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

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> None:
        """Update `weights` [m, P] and `moments` in place; `gradients` is used as scratch space."""
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

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> None:
        if moments:
            moments[0].mul_(self.settings.momentum).add_(gradients)
            gradients = moments[0]
        if self.speeds is not None:
            gradients = gradients * self.speeds.at(step)
        weights.add_(gradients, alpha=-self.settings.lr)


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
        whole = first - timing.whole
        steps: Factors
        scales: Factors
        if timing.uniform():
            steps, scales = (_Shared(rule(whole), like) for rule in (self._step, self._scale))
        else:
            units = [first[..., None] - start for start in timing.units]
            # both rules fall with age: the larger factor is that of the younger unit
            steps, scales = (
                _Spread(layout, rule(whole), [rule(age) for age in units], like) for rule in (self._step, self._scale)
            )
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

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> None:
        mean, square = moments
        mean.lerp_(gradients, 1 - self.settings.beta1)
        square.mul_(self.settings.beta2).addcmul_(gradients, gradients, value=1 - self.settings.beta2)
        denominator = torch.sqrt(square, out=gradients).mul_(self.scales.at(step)).add_(self.settings.eps)
        change = mean * self.steps.at(step)
        if self.speeds is not None:
            change.mul_(self.speeds.at(step))
        weights.addcdiv_(change, denominator, value=-1)


class _Shared:
    """All parameters of a learner share one factor: [updates, m]."""

    def __init__(self, factors: np.ndarray, like: Tensor) -> None:
        self.factors = torch.from_numpy(factors).to(like)[..., None]

    def at(self, step: int) -> Tensor:
        return self.factors[step]


class _Spread:
    """Every parameter takes the larger one of the factors of its two units.

    whole: [updates, m] for inputs and head. units: per hidden layer [updates, m, width].
    """

    def __init__(self, layout: Layout, whole: np.ndarray, units: list[np.ndarray], like: Tensor) -> None:
        self.flat = torch.empty_like(like)
        self.layers = layout.views(self.flat)
        # of every axis, from the inputs to the head: [updates, m, width or 1]
        self.axes = [torch.from_numpy(axis).to(like) for axis in (whole[..., None], *units, whole[..., None])]

    def at(self, step: int) -> Tensor:
        for at, (weight, bias) in enumerate(self.layers):
            below, above = self.axes[at][step], self.axes[at + 1][step]
            torch.maximum(above[:, :, None].expand_as(weight), below[:, None, :].expand_as(weight), out=weight)
            bias.copy_(above[:, None, :])
        return self.flat


def _speeds(layout: Layout, timing: Timing, like: Tensor) -> Factors | None:
    if timing.whole_speed is None or timing.unit_speeds is None:
        return None
    return _Spread(layout, timing.whole_speed, timing.unit_speeds, like)


def _require_positive_lr(lr: float) -> None:
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not (np.isfinite(lr) and lr > 0):
        raise InvalidSetting(f"The learning rate is {lr!r}; it must be positive and finite.")
