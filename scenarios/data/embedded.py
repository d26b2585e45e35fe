"""Data sets that need no files: the digits that scikit-learn ships, pairs of them, and signals that are computed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from plastic_env.errors import InvalidData
from plastic_env.streams.samples import Dataset, Samples


def digits() -> Dataset:
    """scikit-learn's digits: 1,797 scanned images of 8 x 8, ten classes.

    Every fifth image (360) is for testing, the other 1,437 are for training. Inputs are shifted and
    scaled as a whole, so that the training pixels have mean 0 and variance 1.
    """
    from sklearn.datasets import load_digits  # takes a second to import

    images, labels = load_digits(return_X_y=True)
    test = np.arange(len(images)) % 5 == 0
    train = images[~test]
    x, y = torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels.astype(np.int64))
    parts = [Samples(x[rows], y[rows], float(train.mean()), float(1 / train.std())) for rows in (~test, test)]
    return Dataset("digits", parts[0], parts[1], classes=10, shape=(1, 8, 8))


def digit_pairs() -> Dataset:
    """Two of the digits side by side: images of 8 x 16 in a hundred classes, 00 to 99, with 60 pairs each for training
    and 20 for testing, made of images for training and for testing only."""
    single, rng = digits(), np.random.default_rng(0)
    parts = []
    for part, count in ((single.train, 60), (single.test, 20)):
        sides = [np.flatnonzero(part.targets.numpy() == digit) for digit in range(10)]
        pairs = [[rng.choice(sides[side], count) for side in divmod(label, 10)] for label in range(100)]
        images = part.inputs.view(-1, 8, 8)[torch.from_numpy(np.array(pairs))]  # [100, 2, count, 8, 8]
        x = images.permute(0, 2, 3, 1, 4).reshape(-1, 128)
        parts.append(Samples(x, torch.arange(100).repeat_interleave(count), part.offset, part.scale))
    return Dataset("digit_pairs", parts[0], parts[1], classes=100, shape=(1, 8, 16))


def mnist1d() -> Dataset:
    """MNIST-1D (Greydanus & Kobak 2020), computed with its authors' settings and seed: 4,000 signals of 40 values for
    training and 1,000 for testing, ten classes.

    Inputs are shifted and scaled as a whole, so that the training values have mean 0 and variance 1.

    Raises:
        InvalidData: the optional package is not installed.
    """
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ModuleNotFoundError as error:
        raise InvalidData(
            f"Data set 'mnist1d' is computed by the package mnist1d ({error}); pip install 'plastic_env[mnist1d]'"
        ) from error
    with _global_randomness_kept():
        made = make_dataset(get_dataset_args())
    offset, scale = float(made["x"].mean()), float(1 / made["x"].std())
    parts = [
        Samples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)), offset, scale)
        for x, y in ((made["x"], made["y"]), (made["x_test"], made["y_test"]))
    ]
    return Dataset("mnist1d", parts[0], parts[1], classes=10)


@contextmanager
def _global_randomness_kept() -> Iterator[None]:
    """mnist1d seeds the global generators, which belong to somebody else."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
