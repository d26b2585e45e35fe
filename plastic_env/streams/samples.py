"""Samples in memory: stored as they came, one copy for everybody, scaled when they are fetched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidData


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and what is to be learnt about them.

    inputs: [samples, features], uint8 or float32; may be mapped from a file, and is never written to.
    targets: [samples] int64 labels, or [samples, outputs] float32 values.
    offset, scale: [features], or one number for all: learners see (inputs - offset) * scale.
    """

    inputs: Tensor
    targets: Tensor
    offset: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    def __len__(self) -> int:
        return len(self.inputs)

    def fetch(self, rows: Tensor) -> Tensor:
        """Inputs of some rows [k] as learners see them: [k, features] float32."""
        found = self.inputs.index_select(0, rows)  # on whole rows several times faster than indexing
        return found if self._ready else found.float().sub_(self.offset).mul_(self.scale)

    @cached_property
    def _ready(self) -> bool:
        numbers = not isinstance(self.offset, Tensor) and not isinstance(self.scale, Tensor)
        return self.inputs.dtype == torch.float32 and numbers and (self.offset, self.scale) == (0, 1)

    @property
    def blank(self) -> Tensor | float:
        """What learners see of a stored 0: black, in images."""
        return -self.offset * self.scale

    def labelled(self, targets: Tensor) -> Samples:
        """The same inputs with other targets."""
        return replace(self, targets=targets)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set, split once and for all: `train` is trained on, `test` never is.

    name: for people.
    shape: channels, height and width, if a sample's features are those of an image, one channel after the other; else
        None.

    Raises:
        InvalidData: shapes that do not fit, non-finite inputs, labels outside of `classes`, classes without samples to
            train on.
    """

    name: str
    train: Samples
    test: Samples
    classes: int
    shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        for part, samples in (("training", self.train), ("test", self.test)):
            self._check(f"The {part} part of data set {self.name!r}", samples.inputs, samples.targets)
        if self.shape is not None and (len(self.shape) != 3 or np.prod(self.shape) != self.features):
            raise InvalidData(
                f"Data set {self.name!r} has shape {self.shape} and {self.features} features; give (channels, height, "
                "width), whose product is the number of features, or None if the samples are no images."
            )
        self._check_gaps()

    def _check(self, where: str, inputs: Tensor, targets: Tensor) -> None:
        if (
            inputs.ndim != 2
            or inputs.shape[1] != self.features
            or targets.shape != inputs.shape[:1]
            or not len(targets)
        ):
            raise InvalidData(
                f"{where} has inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)}; "
                "give inputs [samples, features], targets [samples], at least one sample, alike in both parts."
            )
        if inputs.dtype not in (torch.uint8, torch.float32):
            raise InvalidData(f"{where} has inputs of type {inputs.dtype}; give torch.uint8 or torch.float32.")
        if inputs.is_floating_point() and not torch.isfinite(inputs).all():
            raise InvalidData(f"{where} has inputs that are NaN or infinite; remove them.")
        if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
            raise InvalidData(f"{where} has labels of type {targets.dtype}; give whole numbers, such as torch.int64.")
        if targets.min() < 0 or targets.max() >= self.classes:
            raise InvalidData(
                f"{where} has labels {int(targets.min())}..{int(targets.max())}; "
                f"{self.classes} classes allow 0..{self.classes - 1}."
            )

    def _check_gaps(self) -> None:
        present = set(torch.unique(self.train.targets).tolist())
        if len(present) == self.classes:
            return
        missing = ", ".join(str(label) for label in islice((c for c in range(self.classes) if c not in present), 9))
        if self.classes - len(present) > 9:
            missing += ", ..."
        raise InvalidData(
            f"The training part of data set {self.name!r} has no samples of {self.classes - len(present)} of its "
            f"{self.classes} classes: {missing}; number the classes from 0 without gaps, and give samples of each."
        )

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that depend on all that is learnt from and tested on, the name aside: the same wherever
        and however often a data set is loaded."""
        found = hashlib.sha256(repr((self.shape and tuple(map(int, self.shape)), int(self.classes))).encode())
        for samples in (self.train, self.test):
            for value in (samples.inputs, samples.targets, samples.offset, samples.scale):
                if isinstance(value, Tensor):
                    found.update(f"\n{value.dtype} {tuple(value.shape)}\n".encode())
                    found.update(np.ascontiguousarray(value.numpy()).data.cast("B") if value.numel() else b"")
                else:
                    found.update(f"\n{float(value)!r}\n".encode())
        return found.hexdigest()[:16]

    @property
    def features(self) -> int:
        """Inputs of one sample."""
        return self.train.inputs.shape[1]
