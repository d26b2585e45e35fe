"""Activation functions with their derivatives written out.

They act on pre-activations z [..., units], and on loss gradients delta [..., units * outputs] behind them. Every
function maps 0 to 0: padding relies on it (see `network.py`).

"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

Self = TypeVar("Self")
Uniform = Callable[[Tensor, int | None], Tensor]  # random numbers in [0, 1) shaped like z, of one learner or of all


class Activation(Protocol):
    """A function of each unit with phi(0) = 0, as it is when nothing is trained."""

    @property
    def outputs(self) -> int:
        """Numbers that one unit gives to the next layer."""
        ...

    def training(self, uniform: Uniform) -> Activation:
        """The function while training, which may be random."""
        ...

    def of(self, row: int) -> Activation:
        """The function for one of the stacked learners."""
        ...

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return phi(z) [..., units * outputs], a unit's outputs side by side, and what `backward` needs of it."""
        ...

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """Return delta * phi'(z); `delta` may be overwritten."""
        ...


class _Elementwise:
    """One output per unit."""

    outputs = 1


class _Fixed(_Elementwise):
    """The same in training, and for all."""

    def training(self: Self, uniform: Uniform) -> Self:
        """Itself."""
        return self

    def of(self: Self, row: int) -> Self:
        """Itself."""
        return self


@dataclass(frozen=True)
class ReLU(_Fixed):
    """max(0, z), with derivative 0 at 0 (as in torch)."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        h = z.clamp_min(0)
        return h, h

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z)."""
        return torch.ops.aten.threshold_backward(delta, saved, 0)


@dataclass(frozen=True)
class LeakyReLU(_Fixed):
    """z where it is positive, else slope * z (Maas et al. 2013); derivative `slope` at 0."""

    slope: float = 0.01

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        return torch.nn.functional.leaky_relu(z, self.slope), z

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z)."""
        return torch.where(saved > 0, delta, delta * self.slope)


@dataclass(frozen=True)
class CReLU(_Fixed):
    """max(0, z) and max(0, -z) (Shang et al. 2016): each unit gives two outputs."""

    outputs = 2

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        return torch.stack([z, -z], -1).clamp_min_(0).flatten(-2), z

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z), summed over the outputs."""
        positive, negative = delta.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.where(saved > 0, positive, 0).sub_(torch.where(saved < 0, negative, 0))


@dataclass(frozen=True)
class Tanh(_Fixed):
    """tanh(z)."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        h = torch.tanh(z)
        return h, h

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z)."""
        return delta.mul_(1 - saved.square())


@dataclass(frozen=True)
class GELU(_Fixed):
    """z Phi(z), with the normal distribution function Phi, exactly (Hendrycks & Gimpel 2016)."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        return torch.nn.functional.gelu(z), z

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z)."""
        cumulative = torch.special.ndtr(saved)
        density = torch.exp(-0.5 * saved.square()) * (2 * torch.pi) ** -0.5
        return delta.mul_(density.mul_(saved).add_(cumulative))


@dataclass(frozen=True)
class SmoothLeaky(_Fixed):
    """r z + (1 - r) z sigmoid(c z / p): a leaky ReLU without the kink (Lillo & Cheney 2025, arXiv 2509.22562).

    r is the slope far below zero, c / p how sharply it bends at 0. The defaults are the permuted-MNIST values of
    arXiv 2605.15435 with r at the middle of its random range.
    """

    r: float = 0.45
    c: float = 0.8
    p: float = 1.0

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        gate = torch.sigmoid(z * (self.c / self.p))
        return z * (gate * (1 - self.r)).add_(self.r), z

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z)."""
        bend = _gated_slope(saved, self.c / self.p)
        return delta.mul_(bend.mul_(1 - self.r).add_(self.r))


@dataclass(frozen=True)
class RandomSmoothLeaky(_Elementwise):
    """Smooth-leaky with r drawn from U(low, high) for every unit and sample in training, and r = (low + high) / 2
    otherwise (RSL: Lillo & Cheney 2025, arXiv 2509.22562).

    The defaults are the permuted-MNIST values of arXiv 2605.15435. c, p: as for `SmoothLeaky`.
    """

    low: float = 0.3
    high: float = 0.6
    c: float = 0.8
    p: float = 1.0

    @property
    def mean(self) -> SmoothLeaky:
        """What it is when nothing is trained."""
        return SmoothLeaky((self.low + self.high) / 2, self.c, self.p)

    def training(self, uniform: Uniform) -> Activation:
        """The random function; every call of `forward` draws anew."""
        return _Randomised(self, uniform)

    def of(self, row: int) -> Activation:
        """Itself."""
        return self

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """phi(z), and what `backward` needs."""
        return self.mean.forward(z)

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        """delta * phi'(z)."""
        return self.mean.backward(delta, saved)


@dataclass(frozen=True)
class _Randomised(_Elementwise):
    rule: RandomSmoothLeaky
    uniform: Uniform
    row: int | None = None  # None: all learners, stacked

    def training(self, uniform: Uniform) -> Activation:
        return replace(self, uniform=uniform)

    def of(self, row: int) -> Activation:
        return replace(self, row=row)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        r = self.uniform(z, self.row).mul_(self.rule.high - self.rule.low).add_(self.rule.low)
        gate = torch.sigmoid(z * (self.rule.c / self.rule.p))
        return z * torch.lerp(gate, torch.ones_like(gate), r), torch.stack([z, r])

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        z, r = saved
        bend = _gated_slope(z, self.rule.c / self.rule.p)
        return delta.mul_(torch.lerp(bend, torch.ones_like(bend), r))


def _gated_slope(z: Tensor, slope: float) -> Tensor:
    """d/dz [z s] = s + z slope s (1 - s), with s = sigmoid(slope z)."""
    gate = torch.sigmoid(z * slope)
    return (1 - gate).mul_(z).mul_(slope).add_(1).mul_(gate)


ACTIVATIONS: dict[str, Activation] = {
    "relu": ReLU(),
    "crelu": CReLU(),
    "leaky_relu": LeakyReLU(),
    "smooth_leaky": SmoothLeaky(),
    "random_smooth_leaky": RandomSmoothLeaky(),
    # the other values of arXiv 2605.15435, by its streams
    "random_smooth_leaky_random_label_mnist": RandomSmoothLeaky(0.3, 0.6, 2.0, 0.8),
    "random_smooth_leaky_random_label_cifar": RandomSmoothLeaky(0.5, 0.5, 0.8, 3.0),
    "random_smooth_leaky_split": RandomSmoothLeaky(0.673, 2.673, 0.5, 0.5),
    "random_smooth_leaky_class_pairs": RandomSmoothLeaky(0.5, 0.5, 0.5, 0.5),
    "random_smooth_leaky_iid": RandomSmoothLeaky(0.125, 0.333, 3.0, 5.0),
    "tanh": Tanh(),
    "gelu": GELU(),
}
