"""What the families of streams share: checks of their settings, and the choice of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidSetting, check_share, check_whole
from plastic_env.scenarios.data import load
from plastic_env.streams.samples import Dataset, Samples
from plastic_env.streams.stream import Chain, Task, epochs, task_rng


class Family:
    """Base of the frozen settings of a family: refuses whole numbers below 1 and shares outside of 0 to 1.

    Raises:
        InvalidSetting: such values.
    """

    @property
    def digest(self) -> str:
        """Of the data that its streams are made of: results on other data are other results."""
        name = getattr(self, "data", None)
        return "" if name is None else load(name).digest

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
            if kind == "int" or (kind == "int | None" and value is not None):
                check_whole(field.name, value)
            elif kind == "float":
                check_share(field.name, value)


def rows_used(data: Dataset, images: int | None, seed: int) -> np.ndarray:
    """Rows [images] of the training samples that a stream uses: so many, drawn by its seed, or all.

    Raises:
        InvalidSetting: the data set has fewer.
    """
    if images is None:
        return np.arange(len(data.train))
    if images > len(data.train):
        raise InvalidSetting(f"images is {images}; data set {data.name!r} has {len(data.train)} training samples.")
    return np.random.default_rng(seed).permutation(len(data.train))[:images]


def ordered(rows: np.ndarray, updates: int, batch_size: int, rng: np.random.Generator) -> Tensor:
    """[updates, batch_size] of these rows, in shuffled passes."""
    return torch.from_numpy(rows)[epochs(rng, len(rows), updates, batch_size)]


def shuffled(values: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A copy of values [n] in which a share of them, drawn at random, have changed places: at least two if any, and
    those as a random cycle, so that each of them moves."""
    count = min(len(values), max(2, round(share * len(values)))) if share > 0 and len(values) > 1 else 0
    places, moved = rng.permutation(len(values))[:count], values.copy()
    moved[places] = values[np.roll(places, 1)]
    return moved


def permutations(count: int, strength: float, seed: int) -> Callable[[int, np.random.Generator], np.ndarray]:
    """The order [count] of so many things by task, from its index and its generator: drawn anew at strength 1; else a
    share of them changes places from each task to the next, from the natural order on."""

    def change(order: np.ndarray, index: int, rng: np.random.Generator) -> np.ndarray:
        return shuffled(order, strength, rng)

    orders = Chain(np.arange(count), change, seed)
    return lambda index, rng: rng.permutation(count) if strength == 1 else orders.at(index)


def class_order(data: Dataset, seed: int) -> np.ndarray:
    """[classes] in the order in which a stream brings them up."""
    return task_rng(seed, 0, 1).permutation(data.classes)


def rows_of(samples: Samples, classes: Sequence[int] | np.ndarray) -> np.ndarray:
    """The rows [k] of the samples of these classes, in their own order."""
    return np.flatnonzero(np.isin(samples.targets.numpy(), classes))


def of_classes(data: Dataset, classes: np.ndarray, updates: int, batch_size: int, rng: np.random.Generator) -> Task:
    """A task of some of the classes [k], by their own labels."""
    order = ordered(rows_of(data.train, classes), updates, batch_size, rng)
    return Task(data.train, order, test=data.test, test_rows=torch.from_numpy(rows_of(data.test, classes)))
