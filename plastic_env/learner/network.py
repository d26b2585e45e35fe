"""The stacked multilayer network: n learners, one row of parameters each.

A learner's weights and biases lie one after the other in a flat row, so that optimizers act on all
of them with one operation; `Layout.views` shows them layer by layer. Only live units are stored.
Learners narrower than the widest are padded with zeros, which the forward and backward pass keep at
exactly zero, since every activation maps 0 to 0: no masks are needed where the time goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.activations import Activation


class Layer(NamedTuple):
    """One dense layer of n learners."""

    weight: Tensor  # [n, out, in]
    bias: Tensor  # [n, 1, out]

    def clone(self) -> Layer:
        """A copy."""
        return Layer(self.weight.clone(), self.bias.clone())

    def of(self, members: int | list[int]) -> Layer:
        """The layer of some learners (a copy) or, without the first axis, of one (a view)."""
        return Layer(self.weight[members], self.bias[members])


class Trace(NamedTuple):
    """What a forward pass leaves behind for the backward pass."""

    inputs: list[Tensor]  # of each layer: [n, batch, in]
    saved: list[Tensor]  # by each activation: [n, batch, units]
    logits: Tensor  # [n, batch, classes]


@dataclass(frozen=True)
class Layout:
    """Where each layer lies in a learner's flat row.

    widths: inputs, then the stored width of every hidden layer, then classes.
    """

    widths: tuple[int, ...]

    @property
    def size(self) -> int:
        """Parameters per learner, padding included."""
        return sum(below * above + above for below, above in pairwise(self.widths))

    def views(self, flat: Tensor) -> list[Layer]:
        """Views of `flat` [n, size], one `Layer` per layer, sharing its memory."""
        layers, at = [], 0
        for below, above in pairwise(self.widths):
            end = at + below * above
            weight = flat[:, at:end].unflatten(1, (above, below))
            layers.append(Layer(weight, flat[:, None, end : end + above]))
            at = end + above
        return layers


def forward(layers: Sequence[Layer], x: Tensor, activation: Activation) -> Trace:
    """Run `x` [n, batch, inputs] through all layers; the last one stays linear."""
    inputs, saved = [x], []
    for layer in layers[:-1]:
        z = torch.baddbmm(layer.bias, inputs[-1], layer.weight.mT)  # [n, batch, out]
        h, kept = activation.forward(z)
        inputs.append(h)
        saved.append(kept)
    head = layers[-1]
    return Trace(inputs, saved, torch.baddbmm(head.bias, inputs[-1], head.weight.mT))


def backward(
    layers: Sequence[Layer],
    gradients: Sequence[Layer],
    trace: Trace,
    delta: Tensor,
    activation: Activation,
    on_delta: Callable[[int, Tensor], None] | None = None,
) -> None:
    """Write the loss gradients of all parameters into `gradients`.

    delta: [n, batch, classes] dL/dlogits; overwritten.
    on_delta: called with (hidden layer, dL/dz [n, batch, units]) on the way down.
    """
    for at in reversed(range(len(layers))):
        torch.bmm(delta.mT, trace.inputs[at], out=gradients[at].weight)
        torch.sum(delta, 1, keepdim=True, out=gradients[at].bias)
        if at > 0:
            delta = activation.backward(torch.bmm(delta, layers[at].weight), trace.saved[at - 1])
            if on_delta is not None:
                on_delta(at - 1, delta)


def cross_entropy_delta(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """dL/dlogits of the batch-mean cross-entropy; overwrites `log_probabilities` [n, batch, classes]."""
    delta = log_probabilities.exp_()
    delta.scatter_add_(-1, targets[..., None], delta.new_tensor(-1.0).expand(*targets.shape, 1))
    return delta.div_(targets.shape[-1])


class Init(NamedTuple):
    """Half-widths of the uniform distributions that initial parameters are drawn from."""

    weight: Callable[[int], float]  # of the fan-in
    bias: Callable[[int], float]


INITS: dict[str, Init] = {
    # torch.nn.Linear's own: Kaiming-uniform with a = sqrt(5), uniform biases
    "torch": Init(lambda fan_in: fan_in**-0.5, lambda fan_in: fan_in**-0.5),
    # Kaiming-uniform with ReLU gain (He et al. 2015), biases 0
    "kaiming": Init(lambda fan_in: (6 / fan_in) ** 0.5, lambda fan_in: 0.0),
}


def draw(rng: np.random.Generator, half_width: float, shape: tuple[int, ...]) -> Tensor:
    """Uniform float64 numbers in [-half_width, half_width]."""
    return torch.from_numpy(rng.uniform(-half_width, half_width, shape))
