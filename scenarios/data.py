"""Data sets by name, loaded once per process."""

from __future__ import annotations

import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from plastic_env.errors import InvalidData, look_up
from plastic_env.streams import Dataset

NPZ = "npz:"
_KEYS = ("x_train", "y_train", "x_test", "y_test")


@cache
def load(name: str) -> Dataset:
    """The data set called `name`: a name in `DATASETS`, or "npz:PATH" for a file of one's own (see `from_npz`).

    Raises:
        UnknownName: no such name. InvalidData: the file can't be read, or holds something else.
    """
    if isinstance(name, str) and name.startswith(NPZ):
        return from_npz(Path(name.removeprefix(NPZ)))
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


def from_npz(path: Path) -> Dataset:
    """A data set in one NumPy file with Keras' keys: x_train, y_train, x_test, y_test.

    Samples are features [samples, features] or images, [samples, height, width] or [samples, height, width, channels];
    labels are whole numbers from 0. Each channel, or all features together, is shifted and scaled so that the training
    part has mean 0 and variance 1.

    Raises:
        InvalidData: the file can't be read, or holds something else.
    """
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            arrays = {key: file[key] for key in file.files} if isinstance(file, np.lib.npyio.NpzFile) else {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidData(f"{path} can't be read as a data set: {error}.") from error
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise InvalidData(f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}.")
    train, test = arrays["x_train"], arrays["x_test"]
    numbers = all(np.issubdtype(part.dtype, np.number) and part.dtype.kind != "c" for part in (train, test))
    if not numbers or train.ndim not in (2, 3, 4) or test.shape[1:] != train.shape[1:] or not len(train):
        raise InvalidData(
            f"{path} has x_train {train.dtype} {train.shape} and x_test {test.dtype} {test.shape}; give numbers "
            "[n, features], [n, height, width] or [n, height, width, channels], alike in both."
        )
    x, y, xt, yt = _samples(train, train), _labels(path, arrays["y_train"]), _samples(test, train), arrays["y_test"]
    shape = None if train.ndim == 2 else (1 if train.ndim == 3 else train.shape[3], *train.shape[1:3])
    return Dataset(path.stem, x, y, xt, _labels(path, yt), classes=int(y.max()) + 1, shape=shape)


def _samples(x: np.ndarray, train: np.ndarray) -> torch.Tensor:
    """Standardised by the training part, flat, one channel after the other."""
    axes = tuple(range(3)) if train.ndim == 4 else None
    mean, deviation = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    scaled = (x.astype(np.float32) - mean.astype(np.float32)) / np.maximum(deviation, 1e-12).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 1) if x.ndim == 4 else scaled)).flatten(1)


def _labels(path: Path, y: np.ndarray) -> torch.Tensor:
    flat = y.reshape(-1)
    if not np.issubdtype(flat.dtype, np.integer) or not len(flat):
        raise InvalidData(f"{path} has labels {y.dtype} {y.shape}; give one whole number per sample.")
    return torch.from_numpy(flat.astype(np.int64))


DATASETS = {"digits": digits}
