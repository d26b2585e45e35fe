"""SGD and Adam over flat rows of parameters, with an optimizer age per unit.

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


class Schedule(Protocol):
    """Per-update factors of one stretch of training."""

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> None:
        """Update `weights` [m, P] and `moments` in place; `gradients` is used as scratch space."""
        ...


class Optimizer(Protocol):
    """An update rule; frozen settings only, its state lies with the population."""

    @property
    def moments(self) -> int:
        """How many numbers of state it keeps per parameter."""
        ...

    def schedule(self, layout: Layout, starts: Starts, updates: int, like: Tensor) -> Schedule:
        """Prepare `updates` updates of m learners, typed and placed as the flat weights `like` [m, P]."""
        ...


@dataclass(frozen=True)
class Starts:
    """When optimizer states were started, in updates of each learner's own count.

    now: [m] updates made so far.
    whole: [m] start of the inputs' and the head's state.
    units: per hidden layer [m, width], start of each unit's state.
    """

    now: np.ndarray
    whole: np.ndarray
    units: list[np.ndarray]

    def uniform(self) -> bool:
        """Whether in each learner everything started at once."""
        return all((units == self.whole[:, None]).all() for units in self.units)


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

    def schedule(self, layout: Layout, starts: Starts, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates."""
        return _SGDSchedule(self)


@dataclass(frozen=True)
class _SGDSchedule:
    settings: SGD

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> None:
        if moments:
            gradients = moments[0].mul_(self.settings.momentum).add_(gradients)
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

    def schedule(self, layout: Layout, starts: Starts, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates."""
        first = starts.now[None] + np.arange(1, updates + 1)[:, None]  # [updates, m]
        whole = self._factors(first - starts.whole, like)  # each [updates, m]
        if starts.uniform():
            return _AdamSchedule(self, whole[0][..., None], whole[1][..., None])
        units = [self._factors(first[..., None] - born, like) for born in starts.units]
        return _AgedAdamSchedule(self, layout, whole, units, like)

    def _factors(self, age: np.ndarray, like: Tensor) -> tuple[Tensor, Tensor]:
        """lr / (1 - b1^age) and 1 / sqrt(1 - b2^age): both fall with age."""
        step = self.lr / (1 - self.beta1**age)
        scale = 1 / np.sqrt(1 - self.beta2**age)
        return torch.from_numpy(step).to(like), torch.from_numpy(scale).to(like)


class _AdamSchedule:
    """All parameters of a learner share one age: factors [updates, m, 1]."""

    def __init__(self, settings: Adam, step: Tensor, scale: Tensor) -> None:
        self.settings, self.step, self.scale = settings, step, scale

    def factors(self, step: int) -> tuple[Tensor, Tensor]:
        return self.step[step], self.scale[step]

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> None:
        mean, square = moments
        mean.lerp_(gradients, 1 - self.settings.beta1)
        square.mul_(self.settings.beta2).addcmul_(gradients, gradients, value=1 - self.settings.beta2)
        size, scale = self.factors(step)
        denominator = torch.sqrt(square, out=gradients).mul_(scale).add_(self.settings.eps)
        weights.addcdiv_(mean * size, denominator, value=-1)


class _AgedAdamSchedule(_AdamSchedule):
    """Units differ in age. A parameter is as old as the younger of its two units, and both factors
    fall with age, so that the younger one's factor is the larger one."""

    def __init__(
        self,
        settings: Adam,
        layout: Layout,
        whole: tuple[Tensor, Tensor],
        units: list[tuple[Tensor, Tensor]],
        like: Tensor,
    ) -> None:
        super().__init__(settings, torch.empty_like(like), torch.empty_like(like))
        self.targets = (layout.views(self.step), layout.views(self.scale))
        # factors of every axis, from the inputs to the head: [updates, m, width or 1]
        self.axes = [[whole[k][..., None], *(unit[k] for unit in units), whole[k][..., None]] for k in (0, 1)]

    def factors(self, step: int) -> tuple[Tensor, Tensor]:
        for layers, axes in zip(self.targets, self.axes, strict=True):
            for at, layer in enumerate(layers):
                above, below = axes[at + 1][step], axes[at][step]
                outer = (above[:, :, None].expand_as(layer.weight), below[:, None, :].expand_as(layer.weight))
                torch.maximum(*outer, out=layer.weight)
                layer.bias.copy_(above[:, None, :])
        return self.step, self.scale


def _require_positive_lr(lr: float) -> None:
    if not (np.isfinite(lr) and lr > 0):
        raise InvalidSetting(f"The learning rate is {lr}; it must be positive and finite.")
