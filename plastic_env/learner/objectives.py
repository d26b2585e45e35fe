"""What learners are trained for: telling classes apart, or predicting values.

Outputs are [n, batch, outputs], targets are labels [n, batch] or values [n, batch, outputs], losses and hits
[n, batch].
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

TOLERANCE = 0.5  # of values that are predicted


class Objective(Protocol):
    """A loss per sample, whose mean over the batch is minimised, and which samples are answered well."""

    classes: bool  #: targets are labels [...]; else values [..., outputs]

    def delta(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """dL/doutputs [n, batch, outputs] of the batch-mean loss."""
        ...

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample [...], for outputs [..., outputs]."""
        ...

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether each sample is answered well, bool [...]; the accuracy is its mean over a batch."""
        ...


class CrossEntropy:
    """Of labels; a hit is the right one."""

    classes = True

    def __repr__(self) -> str:
        return "CrossEntropy()"

    def delta(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Softmax less the target."""
        delta = torch.softmax(_across(outputs), -2)
        rows = targets[..., None, :]
        delta.scatter_add_(-2, rows, delta.new_full(rows.shape, -1.0))
        return delta.div_(targets.shape[-1]).mT.contiguous()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log of the target's probability."""
        return torch.log_softmax(_across(outputs), -2).gather(-2, targets[..., None, :])[..., 0, :].neg_()

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the largest output is the target's."""
        return outputs.argmax(-1) == targets


class SquaredError:
    """Of values, averaged over the outputs; a hit is a sample whose error (the root of that) is below `TOLERANCE`: half
    a standard deviation where targets have variance 1, as those of the project's streams do."""

    classes = False

    def __repr__(self) -> str:
        return "SquaredError()"

    def delta(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Twice the error."""
        return (outputs - targets).mul_(2 / outputs.shape[-2:].numel())

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Its square."""
        return (outputs - targets).square_().mean(-1)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the error is below `TOLERANCE`."""
        return self.losses(outputs, targets) < TOLERANCE**2


OBJECTIVES: dict[str, Objective] = {"cross_entropy": CrossEntropy(), "squared_error": SquaredError()}


def _across(outputs: Tensor) -> Tensor:
    """[..., classes, batch]: along its rows, few classes would be taken one at a time."""
    return outputs.mT.contiguous()
