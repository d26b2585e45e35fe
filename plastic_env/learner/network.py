"""The stacked network: n learners of one architecture, forward and backward.

Learners narrower than the widest are padded with zeros, which both passes keep at exactly zero, since every
activation maps 0 to 0: dense layers without normalisation need no masks where the time goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from plastic_env.errors import InvalidSetting, look_up
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.normalisation import NORMS
from plastic_env.learner.objectives import OBJECTIVES, Objective
from plastic_env.learner.parameters import Layer, Layout
from plastic_env.learner.settings import Conv, LearnerSettings
from plastic_env.learner.stages import ConvStage, DenseStage, Mode, Rows, Saved, Stage

Shape = int | tuple[int, int, int]  # features, or channels, height and width


@dataclass(frozen=True)
class Network:
    """What all learners of a population are made of.

    hidden: the hidden stages, from the inputs up. head: a dense stage, linear. objective: what its outputs are for.
    inputs: features of a sample. image: its channels, height and width if the first stage is a convolution.
    """

    hidden: tuple[Stage, ...]
    head: DenseStage
    inputs: int
    image: tuple[int, int, int] | None = None
    objective: Objective = OBJECTIVES["cross_entropy"]

    @staticmethod
    def of(settings: LearnerSettings, inputs: Shape, outputs: int, loss: str = "cross_entropy") -> Network:
        """The network of learners with these settings, for so many outputs and one of `OBJECTIVES`.

        Raises:
            InvalidSetting: the layers don't fit the inputs or each other. UnknownName: there is no such loss.
        """
        function, norm = ACTIVATIONS[settings.activation], NORMS[settings.norm]
        features = math.prod(inputs) if isinstance(inputs, (tuple, list)) else int(inputs)
        stages: list[Stage] = []
        image, given = None, 1  # what the layer below gives per unit
        for spec in settings.layers:
            if isinstance(spec, Conv):
                channels, *size = _image(spec, inputs) if not stages else _image_of(stages[-1])
                if min(size) < spec.pool:
                    raise InvalidSetting(f"{spec} would pool images of {size[0]} x {size[1]} away; use fewer poolings.")
                image = image or (channels, size[0], size[1])
                block = given * spec.kernel**2
                stage: Stage = ConvStage(
                    spec.channels,
                    block,
                    (size[0], size[1]),
                    function.outputs,
                    spec.kernel,
                    spec.pool,
                    spec.editable,
                    norm,
                )
            else:
                stage = DenseStage(spec.units, _flat_block(stages, given), spec.editable, norm)
            stages.append(stage)
            given = function.outputs
        head = DenseStage(outputs, _flat_block(stages, given))
        return Network(tuple(stages), head, features, image, look_up(OBJECTIVES, loss, "loss"))

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """All of them, the head last."""
        return (*self.hidden, self.head)

    @property
    def input_units(self) -> int:
        """Channels of images, else features."""
        return self.inputs if self.image is None else self.image[0]

    @cached_property
    def editable(self) -> tuple[int, ...]:
        """Which hidden stages edits may change."""
        return tuple(at for at, stage in enumerate(self.hidden) if stage.editable)

    @cached_property
    def blocks(self) -> tuple[int, ...]:
        """Columns per unit below, of all stages."""
        return tuple(stage.block for stage in self.stages)

    def layout(self, widths: Sequence[int]) -> Layout:
        """Where parameters lie, for the stored widths of all stages."""
        rows = tuple(1 if stage.norm is None else stage.norm.rows for stage in self.stages)
        return Layout((self.input_units, *widths), self.blocks, rows)

    def undefined(self, samples: int) -> bool:
        """Whether so few samples leave some batch normalisation without a variance."""
        return any(
            stage.norm is not None and stage.norm.over == "samples" and samples * stage.positions < 2
            for stage in self.hidden
        )

    def accept(self, x: Tensor) -> Tensor:
        """Flat samples [..., inputs] as the first stage wants them: images with channels last."""
        return x if self.image is None else x.unflatten(-1, self.image).movedim(-3, -1).contiguous()


class Trace(NamedTuple):
    """What a forward pass leaves behind for the backward pass."""

    inputs: list[Tensor]  #: of each stage
    saved: list[Sequence[Saved]]  #: by each hidden stage
    logits: Tensor  #: [n, batch, classes]


def forward(
    network: Network, layers: Sequence[Layer], x: Tensor, modes: Sequence[Mode], out: Tensor | None = None
) -> Trace:
    """Run `x`, as `Network.accept` gives it, through all stages.

    x: [n, batch, inputs], or images [n, batch, height, width, channels]. modes: one per hidden stage. out: where to
    write the logits [n, batch, classes].
    """
    inputs, saved = [], []
    for stage, layer, mode in zip(network.hidden, layers, modes, strict=False):
        inputs.append(stage.accept(x))
        x, mine = stage.forward(layer, inputs[-1], mode)
        saved.append(mine)
    inputs.append(network.head.accept(x))
    return Trace(inputs, saved, network.head.linear(layers[-1], inputs[-1], out))


def backward(
    network: Network,
    layers: Sequence[Layer],
    gradients: Sequence[Layer],
    trace: Trace,
    delta: Rows,
    modes: Sequence[Mode],
    on_delta: Callable[[int, Rows], None] | None = None,
) -> None:
    """Write the loss gradients of all parameters into `gradients`.

    delta: [n, batch, classes] dL/dlogits.
    on_delta: called with (hidden stage, its dL/dz) on the way down.
    """
    for at in reversed(range(len(layers))):
        below = network.stages[at].backward_linear(layers[at], delta, trace.inputs[at], gradients[at], at > 0)
        if below is None:
            return
        under = at - 1
        delta = network.hidden[under].backward_nonlinear(
            below, trace.saved[under], layers[under], gradients[under], modes[under]
        )
        if on_delta is not None:
            on_delta(under, delta)


def descend(
    network: Network,
    layers: Sequence[Layer],
    scratch: Sequence[Layer],
    trace: Trace,
    delta: Rows,
    modes: Sequence[Mode],
    lr: float,
) -> None:
    """Subtract lr times the loss gradients from all parameters.

    delta: [n, batch, classes] dL/dlogits. scratch: room for the gradients of those layers that need them written down.
    """
    for at in reversed(range(len(layers))):
        stage, layer = network.stages[at], layers[at]
        if isinstance(stage, DenseStage) and stage.norm is None:
            assert isinstance(delta, Tensor)
            below = stage.backward_linear(layer, delta, trace.inputs[at], None, at > 0)
            stage.descend(layer, delta, trace.inputs[at], lr)
        else:
            below = stage.backward_linear(layer, delta, trace.inputs[at], scratch[at], at > 0)
            for mine, gradient in zip(layer, scratch[at], strict=True):
                mine.sub_(gradient, alpha=lr)
        if below is not None:
            under = at - 1
            delta = network.hidden[under].backward_nonlinear(
                below, trace.saved[under], layers[under], scratch[under], modes[under]
            )


def _image(spec: Conv, inputs: Shape) -> tuple[int, int, int]:
    if not isinstance(inputs, (tuple, list)):
        raise InvalidSetting(
            f"{spec} needs images, and the samples are {inputs} plain features; give inputs=(channels, height, width), "
            "or a data set with a shape."
        )
    return (int(inputs[0]), int(inputs[1]), int(inputs[2]))


def _image_of(below: Stage) -> tuple[int, int, int]:
    if not isinstance(below, ConvStage):
        raise InvalidSetting("A convolution can't follow a dense layer; put the convolutions first.")
    return below.slots, *below.pooled


def _flat_block(stages: Sequence[Stage], outputs: int) -> int:
    """Columns that one unit below has in a dense layer."""
    if stages and isinstance(stages[-1], ConvStage):
        height, width = stages[-1].pooled
        return outputs * height * width
    return outputs
