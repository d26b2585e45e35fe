"""Normalisation of pre-activations, by sample over the live units or by unit over the batch.

Tensors have units last: [n, batch, units] of dense layers, [batch, height, width, units] of one learner's conv
layer. Padding stays zero: its gain and shift are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from plastic_env.learner.parameters import BIAS, GAIN, MEAN, SHIFT, VARIANCE

EPS = 1e-5  # as torch has it
MOMENTUM = 0.1  # of the running statistics, likewise
STATISTICS = {
    "update": "the batch's, which also move the running ones: training",
    "batch": "the batch's: probing",
    "running": "the running ones: the network as it is used",
}


class Crowd(NamedTuple):
    """Which of the stored units are live."""

    units: Tensor  #: [n, 1, 1] how many
    mask: Tensor | None  #: [n, 1, units], None if no learner is padded

    def of(self, row: int) -> Crowd:
        """One learner's, without the first axis."""
        return Crowd(self.units[row], None if self.mask is None else self.mask[row])


class Normal(NamedTuple):
    """What normalising leaves behind."""

    hat: Tensor  #: normalised, before gain and shift
    inverse: Tensor  #: 1 / standard deviation
    mean: Tensor  #: of what was normalised
    fixed: bool  #: whether mean and deviation were given from outside


@dataclass(frozen=True)
class Norm:
    """(z - mean) / sqrt(variance + 1e-5) * gain + shift.

    over: "units" takes mean and variance of each sample over the live units and positions (Ba et al. 2016, as
        GroupNorm with one group in conv layers), "samples" those of each unit over batch and positions, with
        running ones beside them (Ioffe & Szegedy 2015).
    summary: one line.
    """

    over: str
    summary: str

    @property
    def rows(self) -> int:
        """Numbers per unit, the bias included."""
        return 1 + (SHIFT if self.over == "units" else VARIANCE)

    def forward(
        self, z: Tensor, vectors: Tensor, crowd: Crowd, spatial: int, statistics: str = "batch"
    ) -> tuple[Tensor, Normal]:
        """Normalise.

        vectors: [..., rows, units]; "update" moves its running statistics. spatial: axes of position.
        """
        if statistics == "running" and self.over == "samples":
            return self.apply(z, vectors, _row(vectors, MEAN), (_row(vectors, VARIANCE) + EPS).rsqrt())
        dims, size = self._dims(spatial), self._size(z, crowd, spatial)
        mean = z.sum(dims, keepdim=True) / size
        hat = z - mean
        if self.over == "units" and crowd.mask is not None:
            hat.mul_(crowd.mask)
        variance = hat.square().sum(dims, keepdim=True) / size
        inverse = (variance + EPS).rsqrt()
        hat.mul_(inverse)
        if statistics == "update" and self.over == "samples":
            for row, now in ((MEAN, mean), (VARIANCE, variance * (size / (size - 1)))):
                vectors[..., row, :].lerp_(now.flatten(-2 - spatial, -2)[..., 0, :], MOMENTUM)
        return hat * _row(vectors, GAIN) + _row(vectors, SHIFT), Normal(hat, inverse, mean, fixed=False)

    def apply(self, z: Tensor, vectors: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Normal]:
        """Normalise by given statistics."""
        hat = (z - mean) * inverse
        return hat * _row(vectors, GAIN) + _row(vectors, SHIFT), Normal(hat, inverse, mean, fixed=True)

    def backward(
        self, delta: Tensor, saved: Normal, vectors: Tensor, crowd: Crowd, spatial: int, gradients: Tensor | None
    ) -> Tensor:
        """dL/dz; writes those of gain and shift into `gradients` [..., rows, units]."""
        hat, inverse, _, fixed = saved
        if gradients is not None:
            samples = tuple(range(-2 - spatial, -1))
            gradients[..., GAIN, :] = (delta * hat).sum(samples)
            gradients[..., SHIFT, :] = delta.sum(samples)
            gradients[..., SHIFT + 1 :, :].zero_()
        delta = delta * _row(vectors, GAIN)
        if fixed:
            return delta.mul_(inverse)
        dims, size = self._dims(spatial), self._size(delta, crowd, spatial)
        along = (delta * hat).sum(dims, keepdim=True) / size
        delta = delta.sub_(delta.sum(dims, keepdim=True) / size).sub_(hat * along).mul_(inverse)
        return delta if crowd.mask is None else delta.mul_(crowd.mask)

    def _dims(self, spatial: int) -> tuple[int, ...]:
        return tuple(range(-1 - spatial, 0)) if self.over == "units" else tuple(range(-2 - spatial, -1))

    def _size(self, z: Tensor, crowd: Crowd, spatial: int) -> Tensor | int:
        if self.over == "units":
            positions = z.shape[-2 - spatial + 1 : -1].numel()
            return crowd.units * positions
        return z.shape[-2 - spatial : -1].numel()


NORMS: dict[str, Norm | None] = {
    "none": None,
    "layer": Norm("units", "by each sample's mean and variance over the live units (Ba et al. 2016)"),
    "batch": Norm("samples", "by each unit's mean and variance over the batch (Ioffe & Szegedy 2015)"),
}


def _row(vectors: Tensor, row: int) -> Tensor:
    assert row > BIAS
    return vectors[..., row : row + 1, :]
