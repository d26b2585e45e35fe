"""Data sets by name, loaded once per process."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from plastic_env.errors import look_up
from plastic_env.streams import Dataset


@cache
def load(name: str) -> Dataset:
    """The data set called `name`."""
    return look_up(DATASETS, name, "data set")()


def digits() -> Dataset:
    """scikit-learn's digits: 1,797 scanned images of 8 x 8, ten classes.

    Every fifth image (360) is for testing, the other 1,437 are for training. Inputs are shifted and
    scaled as a whole, so that the training pixels have mean 0 and variance 1.
    """
    from sklearn.datasets import load_digits  # takes a second to import

    images, labels = load_digits(return_X_y=True)
    test = np.arange(len(images)) % 5 == 0
    pixels = (images - images[~test].mean()) / images[~test].std()
    x = torch.from_numpy(pixels.astype(np.float32))
    y = torch.from_numpy(labels.astype(np.int64))
    return Dataset("digits", x[~test], y[~test], x[test], y[test], classes=10, shape=(1, 8, 8))


DATASETS = {"digits": digits}
