"""Data sets by name, loaded once per process."""

from __future__ import annotations

import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from plastic_env.errors import InvalidData, look_up
from plastic_env.streams.samples import Dataset, Samples

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
    shape = None if train.ndim == 2 else (1 if train.ndim == 3 else train.shape[3], *train.shape[1:3])
    offset, scale = _standard(train)
    parts = [
        Samples(_flat(arrays[f"x_{part}"]), _labels(path, arrays[f"y_{part}"]), offset, scale)
        for part in ("train", "test")
    ]
    return Dataset(path.stem, parts[0], parts[1], classes=int(parts[0].targets.max()) + 1, shape=shape)


def _flat(x: np.ndarray) -> torch.Tensor:
    """[samples, features], one channel after the other, as bytes if that is what they are."""
    stored = x if x.dtype == np.uint8 else x.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(stored, -1, 1) if x.ndim == 4 else stored)).flatten(1)


def _standard(train: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """[features] what to subtract, and what to multiply with then, for mean 0 and variance 1 of each channel, or of all
    features together."""
    axes = tuple(range(3)) if train.ndim == 4 else None
    mean, deviation = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    pixels = int(np.prod(train.shape[1:3])) if train.ndim == 4 else int(np.prod(train.shape[1:]))
    both = (np.repeat(np.atleast_1d(values), pixels) for values in (mean, 1 / np.maximum(deviation, 1e-12)))
    offset, scale = (torch.from_numpy(values.astype(np.float32)) for values in both)
    return offset, scale


def _labels(path: Path, y: np.ndarray) -> torch.Tensor:
    flat = y.reshape(-1)
    if not np.issubdtype(flat.dtype, np.integer) or not len(flat):
        raise InvalidData(f"{path} has labels {y.dtype} {y.shape}; give one whole number per sample.")
    return torch.from_numpy(flat.astype(np.int64))


DATASETS = {"digits": digits, "digit_pairs": digit_pairs}
