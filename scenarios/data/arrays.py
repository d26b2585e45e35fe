"""Data sets as arrays: brought into one layout, checked, measured, before anybody learns from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from plastic_env.errors import InvalidData
from plastic_env.streams.samples import Dataset, Samples

PARTS = ("x_train", "y_train", "x_test", "y_test")  # Keras' keys
_CHUNK = 2**20  # numbers that are measured at once: 8 MiB in double precision


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set as it is stored.

    x_train, x_test: [samples, features] uint8 or float32, images with one channel after the other.
    y_train, y_test: [samples] int64 labels.
    classes: how many. shape: channels, height and width of images, else None.
    mean, deviation: of the training inputs: of each channel in colour images, else one number.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    shape: tuple[int, int, int] | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all four arrays."""
        return sum(getattr(self, part).nbytes for part in PARTS)

    def dataset(self, name: str) -> Dataset:
        """The data set over these very arrays, no copies.

        Raises:
            InvalidData: inputs and labels that don't fit each other, or that nobody can learn.
        """
        offset = self._per_feature(self.mean)
        scale = self._per_feature([1 / deviation if deviation > 0 else 1.0 for deviation in self.deviation])
        train, test = (
            Samples(torch.from_numpy(x), torch.from_numpy(y), offset, scale)
            for x, y in ((self.x_train, self.y_train), (self.x_test, self.y_test))
        )
        return Dataset(name, train, test, self.classes, self.shape)

    def _per_feature(self, values: Iterable[float]) -> torch.Tensor | float:
        numbers = list(values)
        if len(numbers) == 1:
            return numbers[0]
        return torch.tensor(numbers, dtype=torch.float32).repeat_interleave(self.x_train.shape[1] // len(numbers))


def measured(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int,
    shape: tuple[int, int, int] | None,
) -> Arrays:
    """The data set of inputs [samples, features] and labels [samples], with the mean and the deviation of the training
    inputs."""
    channels = shape[0] if shape is not None else 1
    mean, deviation = _moments(train[0].reshape(len(train[0]), channels, -1))
    return Arrays(*train, *test, classes, shape, mean, deviation)


def _moments(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of inputs [samples, channels, pixels], with no copy of all of them in
    double precision."""
    rows = max(1, _CHUNK // x[0].size)
    chunks = [x[start : start + rows] for start in range(0, len(x), rows)]
    each = len(x) * x.shape[2]
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinite inputs are refused later, by their name
        mean = sum(chunk.sum((0, 2), dtype=np.float64) for chunk in chunks) / each
        squares = sum(np.square(chunk - mean[:, None]).sum((0, 2)) for chunk in chunks)
        return tuple(mean.tolist()), tuple(np.sqrt(squares / each).tolist())


def flattened(x: np.ndarray) -> np.ndarray:
    """[samples, features], one channel after the other, of numbers [samples, ...] with the channels last if there are
    any: as bytes where nothing is lost by it, else as float32."""
    if x.dtype != np.uint8:
        whole = x.dtype.kind in "iu" and x.size and x.min() >= 0 and x.max() <= 255
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused later
            x = x.astype(np.uint8 if whole else np.float32)
    return np.ascontiguousarray(np.moveaxis(x, -1, 1) if x.ndim == 4 else x).reshape(len(x), -1)


def stacked(where: str, images: Iterable[tuple[str, np.ndarray]], count: int) -> np.ndarray:
    """[count, channels, height, width] images that come one by one, each with what it is called in errors.

    Raises:
        InvalidData: they differ in size.
    """
    from tqdm import tqdm

    stack = np.empty(0, np.uint8)
    shown = tqdm(images, where, count, disable=None if count > 20_000 else True, leave=False)
    for index, (name, image) in enumerate(shown):
        if index == 0:
            first, stack = name, np.empty((count, *image.shape), image.dtype)
        if image.shape != stack.shape[1:] or image.dtype != stack.dtype:
            raise InvalidData(
                f"{where}: {name} has channels, height and width {image.shape}, but {first} has {stack.shape[1:]}; all "
                "images must be alike: resize them."
            )
        stack[index] = image
    return stack
