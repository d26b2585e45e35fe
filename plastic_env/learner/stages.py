"""Stages: one layer of a network each, forward and backward written out.

A hidden stage is a linear map, then normalisation, the activation and, in conv layers, max-pooling. Dense layers of
n learners are computed at once, as one stacked matrix product. Conv layers are computed learner by learner in
channels-last order, which was faster than grouped convolutions and than unfolding (`benchmarks/conv_schemes.py`).
Tensors have units last: dense [n, batch, units], conv [n, batch, height, width, units].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plastic_env.learner.activations import Activation
from plastic_env.learner.normalisation import Crowd, Norm, Normal
from plastic_env.learner.parameters import BIAS, Layer

Rows = Tensor | list[Tensor]  # of n learners: stacked, or one by one


class Mode(NamedTuple):
    """How a stage is to be run.

    function: the activation.
    """

    function: Activation
    crowd: Crowd | None = None  #: layers with normalisation need it
    statistics: str = "batch"  #: a name in `normalisation.STATISTICS`
    given: tuple[Tensor, Tensor] | None = None  #: mean and 1 / deviation to normalise by, in place of the units' own

    def of(self, row: int) -> Mode:
        """For one of the stacked learners."""
        crowd = None if self.crowd is None else self.crowd.of(row)
        given = None if self.given is None else (self.given[0][row], self.given[1][row])
        return self._replace(function=self.function.of(row), crowd=crowd, given=given)


class Saved(NamedTuple):
    """What a stage leaves behind for its backward pass: of all learners or, in conv stages, of one."""

    normal: Normal | None  #: by the normalisation, if there is one
    active: Tensor  #: by the activation
    features: Tensor  #: post-activations [..., units * outputs], before pooling
    windows: Tensor | None  #: where the maxima were


@dataclass(frozen=True)
class DenseStage:
    """A fully connected layer.

    slots: places for units. block: columns of weights per unit below. editable: whether edits may change it. norm: what
    normalises its pre-activations.
    """

    slots: int
    block: int = 1
    editable: bool = True
    norm: Norm | None = None

    positions = 1  # places at which each unit is computed for one sample

    def accept(self, x: Tensor) -> Tensor:
        """Flatten channels and positions of a conv stage: [n, batch, channels * height * width], channel by channel."""
        return x if x.ndim == 3 else x.movedim(-1, 2).flatten(2)

    def linear(self, layer: Layer, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Pre-activations [n, batch, units]."""
        return torch.baddbmm(layer.bias, x, layer.weight.mT, out=out)

    def forward(self, layer: Layer, x: Tensor, mode: Mode) -> tuple[Tensor, Sequence[Saved]]:
        """Outputs [n, batch, units * outputs], and what is left behind."""
        saved = _activate(self.linear(layer, x), layer.vectors, self.norm, mode, spatial=0)
        return saved.features, (saved,)

    def backward_nonlinear(
        self, delta: Tensor, saved: Sequence[Saved], layer: Layer, gradients: Layer | None, mode: Mode
    ) -> Tensor:
        """dL/dz [n, batch, units] from dL/d outputs; writes the gradients of gain and shift."""
        return _deactivate(delta, saved[0], layer, self.norm, gradients, mode, spatial=0)

    def backward_linear(
        self, layer: Layer, delta: Rows, x: Tensor, gradients: Layer | None, below: bool
    ) -> Tensor | None:
        """Write the gradients of weights and biases; return dL/dx [n, batch, columns] if `below` asks for it."""
        assert isinstance(delta, Tensor)
        if gradients is not None:
            torch.bmm(delta.mT, x, out=gradients.weight)
            torch.sum(delta, 1, keepdim=True, out=gradients.bias)
        return torch.bmm(delta, layer.weight) if below else None

    def descend(self, layer: Layer, delta: Tensor, x: Tensor, lr: float) -> None:
        """Subtract lr times the gradient from weights and biases, which is never written down by itself."""
        layer.weight.baddbmm_(delta.mT, x, alpha=-lr)
        layer.bias.sub_(delta.sum(1, keepdim=True), alpha=lr)

    def column_means(self, x: Tensor) -> Tensor:
        """Means over samples."""
        return x.sum(1).div_(x.shape[1])  # faster than mean


@dataclass(frozen=True)
class ConvStage:
    """A convolution of stride 1 that keeps the size of the image, then max-pooling.

    slots: places for channels. block: columns of weights per channel below. kernel: side. pool: side of the pooling
    windows. editable, norm: as for `DenseStage`.
    """

    slots: int
    block: int
    size: tuple[int, int]  #: height and width
    outputs: int  #: channels per unit
    kernel: int = 3
    pool: int = 1
    editable: bool = True
    norm: Norm | None = None

    @property
    def positions(self) -> int:
        """Pixels."""
        return self.size[0] * self.size[1]

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return self.size[0] // self.pool, self.size[1] // self.pool

    def accept(self, x: Tensor) -> Tensor:
        """Images as they are."""
        return x

    def forward(self, layer: Layer, x: Tensor, mode: Mode) -> tuple[Tensor, Sequence[Saved]]:
        """Outputs [n, batch, height, width, units * outputs], and what is left behind."""
        outputs, left = [], []
        for row, mine in enumerate(x):
            weight, bias = self._kernel(layer, row), layer.vectors[row, BIAS]
            z = F.conv2d(mine.permute(0, 3, 1, 2), weight, bias, padding=self.kernel // 2)
            saved = _activate(z.permute(0, 2, 3, 1), layer.vectors[row], self.norm, mode.of(row), spatial=2)
            out = saved.features
            if self.pool > 1:
                maxima, windows = F.max_pool2d(out.permute(0, 3, 1, 2), self.pool, return_indices=True)
                out, saved = maxima.permute(0, 2, 3, 1), saved._replace(windows=windows)
            outputs.append(out)
            left.append(saved)
        return torch.stack(outputs) if len(outputs) > 1 else outputs[0][None], left

    def backward_nonlinear(
        self, delta: Tensor, saved: Sequence[Saved], layer: Layer, gradients: Layer | None, mode: Mode
    ) -> list[Tensor]:
        """dL/dz [batch, height, width, units] of each learner; writes the gradients of gain and shift."""
        if delta.ndim == 3:  # the stage above is dense
            delta = delta.unflatten(2, (-1, *self.pooled)).movedim(2, -1)
        deltas = []
        for row, its in enumerate(saved):
            mine = delta[row]
            if its.windows is not None:
                mine = self._unpool(mine, its)
            grads = None if gradients is None else gradients.of(row)
            deltas.append(_deactivate(mine, its, layer.of(row), self.norm, grads, mode.of(row), spatial=2))
        return deltas

    def backward_linear(
        self, layer: Layer, delta: Rows, x: Tensor, gradients: Layer | None, below: bool
    ) -> Tensor | None:
        """Write the gradients of weights and biases; return dL/dx [n, batch, height, width, channels] if asked."""
        found, pad, want = [], [self.kernel // 2] * 2, gradients is not None
        for row, mine in enumerate(x):
            weight = self._kernel(layer, row)
            images, deltas = (t.permute(0, 3, 1, 2) for t in (mine, delta[row]))
            dx, dw, db = torch.ops.aten.convolution_backward(
                deltas, images, weight, [len(weight)], [1, 1], pad, [1, 1], False, [0, 0], 1, [below, want, want]
            )
            if gradients is not None:
                gradients.weight[row].copy_(dw.flatten(1))
                gradients.vectors[row, BIAS] = db
            if below:
                found.append(dx.permute(0, 2, 3, 1))
        if not below:
            return None
        return torch.stack(found) if len(found) > 1 else found[0][None]

    def column_means(self, x: Tensor) -> Tensor:
        """Means over samples and positions: the same for all columns of a channel."""
        return x.mean((1, 2, 3)).repeat_interleave(self.kernel**2, 1)

    def _kernel(self, layer: Layer, row: int) -> Tensor:
        return layer.weight[row].unflatten(1, (-1, self.kernel, self.kernel))  # [units, channels, kernel, kernel]

    def _unpool(self, delta: Tensor, saved: Saved) -> Tensor:
        deltas, features, pool = delta.permute(0, 3, 1, 2), saved.features.permute(0, 3, 1, 2), [self.pool] * 2
        spread = torch.ops.aten.max_pool2d_with_indices_backward(
            deltas, features, pool, pool, [0, 0], [1, 1], False, saved.windows
        )
        return spread.permute(0, 2, 3, 1)


Stage = DenseStage | ConvStage


def by_unit(t: Tensor, outputs: int = 1) -> Tensor:
    """[n, samples, units] of features or deltas: positions, and the outputs of a unit, count as further samples."""
    flat = t.flatten(1, -2)
    return flat if outputs == 1 else flat.unflatten(-1, (-1, outputs)).movedim(-1, 1).flatten(1, 2)


def _activate(z: Tensor, vectors: Tensor, norm: Norm | None, mode: Mode, spatial: int) -> Saved:
    normal = None
    if norm is not None and mode.given is not None:
        z, normal = norm.apply(z, vectors, *mode.given)
    elif norm is not None:
        assert mode.crowd is not None
        z, normal = norm.forward(z, vectors, mode.crowd, spatial, mode.statistics)
    features, active = mode.function.forward(z)
    return Saved(normal, active, features, None)


def _deactivate(
    delta: Tensor, saved: Saved, layer: Layer, norm: Norm | None, gradients: Layer | None, mode: Mode, spatial: int
) -> Tensor:
    delta = mode.function.backward(delta, saved.active)
    if norm is None:
        return delta
    assert mode.crowd is not None
    assert saved.normal is not None
    grads = None if gradients is None else gradients.vectors
    return norm.backward(delta, saved.normal, layer.vectors, mode.crowd, spatial, grads)
