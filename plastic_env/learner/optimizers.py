"""SGD, Adam and UPGD over flat rows of parameters, with an optimizer age and a speed per unit.

The age of a parameter is the number of updates since *both* of its units started (or restarted):
a newborn's incoming and outgoing weights begin at age 0 beside incumbents of age 10,000. Adam's bias
correction uses that age. With the layer's age instead, the first update of a newborn would be
(1 - b1) / sqrt(1 - b2) = 3.2 times the learning rate.

SGD and Adam have `cosine`: so many updates, over which the learning rate falls from `lr` to 0 as half a cosine, and
then begins again (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5, with equal periods); 0: it stays what it is. It
goes by the learner's updates, not by units' ages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidSetting, check_number, is_whole
from plastic_env.learner.factors import Ageing, Speeds, Timing
from plastic_env.learner.parameters import Layout


class Optimizer(Protocol):
    """An update rule; frozen settings only, its state lies with the population."""

    @property
    def moments(self) -> int:
        """How many numbers of state it keeps per parameter."""
        ...

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the noise that it adds; None for optimizers that don't care what is live."""
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

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        """Let units start anew after update number `step`: their age is 1 in the next one, and their speed 1.

        row, position: [units] which of the m learners, and where in the layer.
        """
        ...


@dataclass(frozen=True)
class SGD:
    """w <- w - lr b, with b <- momentum b + gradient (torch.optim.SGD without dampening).

    cosine: updates over which lr falls to 0, again and again; 0: it stays.

    Raises:
        InvalidSetting: lr isn't positive, momentum isn't in [0, 1), or cosine is no whole number.
    """

    lr: float = 0.01
    momentum: float = 0.0
    cosine: int = 0

    sigma = None

    def __post_init__(self) -> None:
        check_number(self, "lr", 0, ends="(]")
        check_number(self, "momentum", 0, 1, ends="[)")
        _check_period(self.cosine)

    @property
    def moments(self) -> int:
        """Numbers of state kept per parameter."""
        return int(self.momentum > 0)

    def schedule(self, layout: Layout, timing: Timing, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates of flat weights like `like` [m, P]."""
        return _SGDSchedule(self, _speeds(layout, timing, like), _lr_factors(self.cosine, timing, updates, like))


@dataclass(frozen=True)
class _SGDSchedule:
    settings: SGD
    speeds: Speeds | None
    lr_factors: Tensor | None

    @property
    def descent(self) -> float | None:
        plain = self.speeds is None and self.lr_factors is None and not self.settings.momentum
        return self.settings.lr if plain else None

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> tuple[Tensor, float]:
        change = moments[0].mul_(self.settings.momentum).add_(gradients) if moments else gradients
        if change is not gradients and not (self.speeds is None and self.lr_factors is None):
            change = gradients.copy_(change)  # moments stay as they are
        if self.lr_factors is not None:
            change.mul_(self.lr_factors[step])
        if self.speeds is not None:
            self.speeds.multiply(change, step)
        weights.add_(change, alpha=-self.settings.lr)
        return change, self.settings.lr

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        if self.speeds is not None:
            self.speeds.restart(step, layer, row, position)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015) as torch.optim.Adam computes it, except for the age per unit.

    lr: the learning rate. beta1, beta2: what the running means of the gradient and of its square keep, in [0, 1).
    eps: added to the root of the latter. cosine: as for `SGD`.

    Raises:
        InvalidSetting: values outside of these.
    """

    lr: float = 0.003
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    cosine: int = 0

    sigma = None

    def __post_init__(self) -> None:
        for name in ("lr", "eps"):
            check_number(self, name, 0, ends="(]")
        for name in ("beta1", "beta2"):
            check_number(self, name, 0, 1, ends="[)")
        _check_period(self.cosine)

    @property
    def moments(self) -> int:
        """Numbers of state kept per parameter."""
        return 2

    def schedule(self, layout: Layout, timing: Timing, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates of flat weights like `like` [m, P]."""
        # both rules fall with age: the larger factor is that of the younger unit
        corrections = Ageing((self._step, self._scale), layout, timing, updates, like)
        lr_factors = _lr_factors(self.cosine, timing, updates, like)
        return _AdamSchedule(self, corrections, _speeds(layout, timing, like), lr_factors)

    def _step(self, age: np.ndarray) -> np.ndarray:
        return self.lr / (1 - self.beta1**age)

    def _scale(self, age: np.ndarray) -> np.ndarray:
        return 1 / np.sqrt(1 - self.beta2**age)


@dataclass(frozen=True)
class _AdamSchedule:
    settings: Adam
    corrections: Ageing  # steps and scales
    speeds: Speeds | None
    lr_factors: Tensor | None

    descent = None

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> tuple[Tensor, float]:
        mean, square = moments
        mean.lerp_(gradients, 1 - self.settings.beta1)
        square.mul_(self.settings.beta2).addcmul_(gradients, gradients, value=1 - self.settings.beta2)
        self.corrections.begin(step)
        denominator = self.corrections.multiply(torch.sqrt(square, out=gradients), 1).add_(self.settings.eps)
        change = self.corrections.multiply(torch.div(mean, denominator, out=gradients), 0)
        if self.lr_factors is not None:
            change.mul_(self.lr_factors[step])
        if self.speeds is not None:
            self.speeds.multiply(change, step)
        weights.sub_(change)
        return change, 1.0

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        self.corrections.restart(step, layer, row, position)
        if self.speeds is not None:
            self.speeds.restart(step, layer, row, position)


@dataclass(frozen=True)
class UPGD:
    """Utility-based perturbed gradient descent (Elsayed & Mahmood 2024, arXiv 2404.00781), first order, global.

    u <- beta u + (1 - beta) (-g w); w <- (1 - lr decay) w - lr (g + noise) (1 - sigmoid(u_hat / max u_hat)), u_hat
    being u / (1 - beta^age) and the maximum that over all of a learner's parameters: useful weights are spared, and
    the others are perturbed.

    The defaults are those of the paper's input-permuted MNIST, as far as is known here. The authors' code leaves out
    the correction by age in the maximum, which makes early utilities look larger than it. Noise has the paper's
    variance sigma^2, but is uniform: normal numbers would take as long as all the rest of an update.

    Raises:
        InvalidSetting: lr isn't positive, beta isn't in [0, 1), sigma or decay is negative or infinite.
    """

    lr: float = 0.01
    beta: float = 0.9999
    sigma: float = 0.1
    decay: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "lr", 0, ends="(]")
        check_number(self, "beta", 0, 1, ends="[)")
        for name in ("sigma", "decay"):
            check_number(self, name, 0)

    @property
    def moments(self) -> int:
        """Numbers of state kept per parameter."""
        return 1

    def schedule(self, layout: Layout, timing: Timing, updates: int, like: Tensor) -> Schedule:
        """Factors for the coming updates of flat weights like `like` [m, P]."""
        # the common factor of a learner cancels in u_hat / max u_hat
        corrections = Ageing((self._correction,), layout, timing, updates, like, relative=True)
        # torch.sigmoid rounds the last few numbers of a tensor differently, up to the width of its vectors
        room = like.new_zeros(len(like), -(-layout.size // 64) * 64)
        return _UPGDSchedule(self, corrections, _speeds(layout, timing, like), timing, room)

    def _correction(self, age: np.ndarray) -> np.ndarray:
        return 1 / (1 - self.beta**age)


@dataclass(frozen=True)
class _UPGDSchedule:
    settings: UPGD
    corrections: Ageing
    speeds: Speeds | None
    timing: Timing
    room: Tensor  # [m, P, rounded up]

    descent = None

    def update(self, step: int, weights: Tensor, gradients: Tensor, moments: list[Tensor]) -> tuple[Tensor, float]:
        (utility,), rule = moments, self.settings
        utility.mul_(rule.beta).addcmul_(gradients, weights, value=rule.beta - 1)
        gate, corrected = self.room[:, : utility.shape[1]], utility
        self.corrections.begin(step)
        if self.corrections.mixed:
            corrected = self.corrections.multiply(gate.copy_(utility))
        known = corrected if self.timing.live is None else corrected.masked_fill(~self.timing.live, -torch.inf)
        most = known.amax(1, keepdim=True)
        torch.mul(corrected, torch.where(most == 0, 0.0, -1 / most), out=gate)
        self.room.sigmoid_()  # 1 - sigmoid(x) is sigmoid(-x)
        if self.timing.noise is not None:
            self.timing.noise(gradients)
        change = gradients.mul_(gate).add_(weights, alpha=rule.decay)
        if self.timing.live is not None:
            change.mul_(self.timing.live)
        if self.speeds is not None:
            self.speeds.multiply(change, step)
        weights.sub_(change, alpha=rule.lr)
        return change, rule.lr

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        self.corrections.restart(step, layer, row, position)
        if self.speeds is not None:
            self.speeds.restart(step, layer, row, position)


def _speeds(layout: Layout, timing: Timing, like: Tensor) -> Speeds | None:
    return None if timing.speeds is None else Speeds(layout, timing.speeds, like)


def _lr_factors(period: int, timing: Timing, updates: int, like: Tensor) -> Tensor | None:
    """[updates, m, 1] learning rates over `lr` in the coming updates; None where they are all 1."""
    if not period:
        return None
    passed = (timing.now[None] + np.arange(updates)[:, None]) % period
    return torch.from_numpy((1 + np.cos(np.pi * passed / period)) / 2).to(like)[..., None]


def _check_period(cosine: int) -> None:
    if not is_whole(cosine):
        raise InvalidSetting(f"cosine is {cosine!r}; give the updates over which the learning rate falls, or 0.")
