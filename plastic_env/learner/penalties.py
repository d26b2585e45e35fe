"""Maintenance by penalties, perturbations and projections of weights, and by dropout. See `maintenance.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from plastic_env.errors import InvalidSetting, check_number, is_whole
from plastic_env.learner.activations import Activation, Uniform
from plastic_env.learner.jitter import Jitter, init_half_widths
from plastic_env.learner.maintenance import (
    MaintenanceRule,
    Reborn,
    Stretch,
    Upkeep,
    retarget,
)
from plastic_env.learner.masks import clear_unlearnt, live_parameters

if TYPE_CHECKING:
    from plastic_env.learner.network import Trace
    from plastic_env.learner.settings import LearnerSettings


@dataclass(frozen=True)
class L2(MaintenanceRule):
    """Loss + lam |w|^2, over all that is learnt: biases and normalisation as well, as `weight_decay` of torch's SGD
    with 2 lam. The penalty goes through the optimizer.

    Raises:
        InvalidSetting: a negative lam.
    """

    lam: float = 1e-4

    needs_gradients = True

    def __post_init__(self) -> None:
        check_number(self, "lam", 0)

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Pull towards 0."""
        return _Pull(stretch, self.lam, None)


@dataclass(frozen=True)
class L2Init(MaintenanceRule):
    """Loss + lam |w - w0|^2, towards each unit's initial weights (Kumar et al. 2023, arXiv 2308.11958, best overall
    with lam = 1e-2). w0 is what rewinding returns to: newborns of an edit that draws weights have new ones.

    Raises:
        InvalidSetting: a negative lam.
    """

    lam: float = 1e-2

    needs_gradients = True

    def __post_init__(self) -> None:
        check_number(self, "lam", 0)

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Pull towards the initial weights."""
        return _Pull(stretch, self.lam, stretch.state.live_initial[stretch.members])


class _Pull(Upkeep):
    """target: [m, P], or None for 0."""

    def __init__(self, stretch: Stretch, lam: float, target: Tensor | None) -> None:
        self.stretch, self.lam, self.target = stretch, lam, target
        self.away = torch.empty_like(stretch.weights) if target is not None else None

    def gradients(self, gradients: Tensor) -> None:
        away = self.stretch.weights
        if self.target is not None:  # the difference first: it is exactly 0 where nothing has moved
            away = self.away = torch.sub(away, self.target, out=self.away)
        gradients.add_(away, alpha=2 * self.lam)
        clear_unlearnt(self.stretch.state, gradients)

    def reborn(self, reborn: Reborn) -> None:
        if self.target is not None:
            retarget(self.stretch, self.target, reborn)


@dataclass(frozen=True)
class Spectral(MaintenanceRule):
    """Loss + lam sum over layers of (sigma^k - 1)^2, sigma being the largest singular value of a layer's weights
    (Lewandowski et al. 2025, arXiv 2406.06811).

    One step of power iteration per update, from a vector that is kept; a convolution's kernel counts as the matrix
    [channels, columns]. The paper also penalises the norm of biases, which is left out here. k = 2 is the paper's; lam
    lies within the range it searches, as far as is known here.

    Raises:
        InvalidSetting: a negative lam, or k below 1.
    """

    lam: float = 1e-3
    k: int = 2

    memory_rows = 1
    needs_gradients = True

    def __post_init__(self) -> None:
        check_number(self, "lam", 0)
        if not is_whole(self.k, 1):
            raise InvalidSetting(f"Spectral has k={self.k!r}; give a whole number of at least 1.")

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Continue the power iteration."""
        return _Spectral(stretch, self)


class _Spectral(Upkeep):
    def __init__(self, stretch: Stretch, rule: Spectral) -> None:
        self.stretch, self.rule = stretch, rule
        for units, memory in zip(stretch.state.units, stretch.unit_memory, strict=True):
            live = torch.from_numpy(units.exists[stretch.members]).to(memory)
            empty = memory[:, 0].abs().amax(1, keepdim=True) == 0
            memory[:, 0] += empty * live / live.sum(1, keepdim=True).sqrt()

    def gradients(self, gradients: Tensor) -> None:
        lam, k = self.rule.lam, self.rule.k
        views = self.stretch.state.layout.views(gradients)
        for layer, mine, memory in zip(self.stretch.layers, views, self.stretch.unit_memory, strict=True):
            right = torch.bmm(memory, layer.weight)  # [m, 1, columns]
            right.div_(_length(right))
            left = torch.bmm(layer.weight, right.mT)  # [m, out, 1]
            sigma = _length(left.mT)
            memory.copy_(left.mT).div_(sigma)
            slope = (sigma**k - 1).mul_(2 * lam * k).mul_(sigma ** (k - 1))
            mine.weight.baddbmm_(memory.mT * slope, right)


def _length(rows: Tensor) -> Tensor:
    """Norms [m, 1, 1] of rows [m, 1, columns]; never 0."""
    return rows.square().sum(-1, keepdim=True).sqrt_().clamp_min_(torch.finfo(rows.dtype).tiny)


@dataclass(frozen=True)
class ShrinkPerturb(MaintenanceRule):
    """After each update w <- (1 - p) w + sigma * (a fresh initial draw), for weights and biases (Ash & Adams 2020,
    arXiv 1910.08475, who do it between tasks; each update in Dohare et al. 2024 and Kumar et al. 2023).

    Gain and shift of normalisation stay: their initial draw is no noise, and would pile up to sigma / p.

    Raises:
        InvalidSetting: p outside of [0, 1], or a negative sigma.
    """

    p: float = 1e-4
    sigma: float = 1e-2

    def __post_init__(self) -> None:
        check_number(self, "p", 0, 1)
        check_number(self, "sigma", 0)

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Get the noise ready."""
        return _ShrinkPerturb(stretch, self)


class _ShrinkPerturb(Upkeep):
    def __init__(self, stretch: Stretch, rule: ShrinkPerturb) -> None:
        self.stretch, self.keep = stretch, 1 - rule.p
        state, members = stretch.state, stretch.members
        widths = init_half_widths(state, stretch.init).mul_(rule.sigma)
        self.jitter = Jitter(stretch.rngs, live_parameters(state, members), widths, stretch.coming)
        self.others = [layer.vectors[:, 1:] for layer in stretch.layers if layer.vectors.shape[1] > 1]

    def weights(self, step: int, trace: Trace) -> list[Reborn]:
        kept = [vectors.clone() for vectors in self.others]
        self.jitter.add_to(self.stretch.weights, self.keep)
        for vectors, before in zip(self.others, kept, strict=True):
            vectors.copy_(before)
        return []


@dataclass(frozen=True)
class NaP(MaintenanceRule):
    """Normalise-and-project: with layer normalisation, after each update W <- W |W0| / |W| for each layer's weights,
    the head included, so that the effective learning rate stays (Lyle et al. 2024, arXiv 2407.01800).

    |W0| is the Frobenius norm of the live units' initial weights. The paper offers several treatments of gain and
    shift; here they, and biases, are learnt freely.
    """

    def check(self, learner: LearnerSettings) -> None:
        """Projections need layers whose scale doesn't matter.

        Raises:
            InvalidSetting: the learner has no layer normalisation.
        """
        if learner.norm != "layer":
            raise InvalidSetting(
                f"NaP projects weights whose scale doesn't matter; give norm='layer', not {learner.norm!r}."
            )

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Measure the initial norms."""
        return _Project(stretch)


class _Project(Upkeep):
    def __init__(self, stretch: Stretch) -> None:
        self.stretch, self.target = stretch, stretch.state.live_initial[stretch.members]
        self.norms = [_size(layer.weight) for layer in stretch.state.layout.views(self.target)]

    def weights(self, step: int, trace: Trace) -> list[Reborn]:
        for layer, norm in zip(self.stretch.layers, self.norms, strict=True):
            layer.weight.mul_(norm / _size(layer.weight))
        return []

    def reborn(self, reborn: Reborn) -> None:
        retarget(self.stretch, self.target, reborn)
        self.norms[reborn.layer] = _size(self.stretch.state.layout.views(self.target)[reborn.layer].weight)


def _size(weight: Tensor) -> Tensor:
    """Frobenius norms [m, 1, 1]; never 0."""
    return weight.square().sum((1, 2), keepdim=True).sqrt_().clamp_min_(torch.finfo(weight.dtype).tiny)


@dataclass(frozen=True)
class Dropout(MaintenanceRule):
    """In training, each unit is silent on a sample with probability p, and the others count 1 / (1 - p) times
    (Srivastava et al. 2014). Probes and predictions see all units.

    A unit that gives several outputs loses all of them at once; in convolutions, each position is drawn by itself.

    Raises:
        InvalidSetting: p outside of [0, 1).
    """

    p: float = 0.1

    def __post_init__(self) -> None:
        check_number(self, "p", 0, 1, ends="[)")

    def dress(self, function: Activation) -> Activation:
        """The function, with dropout while training."""
        return _Dropping(function, self.p)


@dataclass(frozen=True)
class _Dropping:
    function: Activation
    p: float
    uniform: Uniform | None = None  # None while nothing is trained
    row: int | None = None  # None: all learners, stacked

    @property
    def outputs(self) -> int:
        return self.function.outputs

    def training(self, uniform: Uniform) -> Activation:
        return replace(self, function=self.function.training(uniform), uniform=uniform)

    def of(self, row: int) -> Activation:
        return replace(self, function=self.function.of(row), row=row)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        h, saved = self.function.forward(z)
        if self.uniform is None:
            return h, saved
        mask = self.uniform(z, self.row).ge_(self.p).div_(1 - self.p)
        return self._masked(h, mask), torch.cat([saved.view(-1, *z.shape), mask[None]])

    def backward(self, delta: Tensor, saved: Tensor) -> Tensor:
        if self.uniform is None:
            return self.function.backward(delta, saved)
        inner = saved[:-1] if len(saved) > 2 else saved[0]
        return self.function.backward(self._masked(delta, saved[-1]), inner)

    def _masked(self, features: Tensor, mask: Tensor) -> Tensor:
        if self.outputs == 1:
            return features * mask
        return (features.unflatten(-1, (-1, self.outputs)) * mask[..., None]).flatten(-2)
