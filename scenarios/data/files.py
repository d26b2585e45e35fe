"""Data sets in files of one's own: a NumPy file, or a folder of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from plastic_env.errors import InvalidData
from plastic_env.scenarios.data.arrays import PARTS, Arrays, flattened, measured, stacked
from plastic_env.scenarios.data.copies import from_copy
from plastic_env.scenarios.data.images import SUFFIXES, is_grey, pixels
from plastic_env.streams.samples import Dataset

Shape = tuple[int, int, int]
_TRAIN, _TEST, _VALIDATION = ("train",), ("test",), ("val", "valid", "validation")  # names of parts, in small letters
_CHANNELS = (1, 3, 4)  # of images as most are: grey, coloured, coloured and transparent
EVERY = 5  # where no test images are set apart, each fifth one is


def from_npz(path: Path, name: str = "", classes: int | None = None, shape: Shape | None = None) -> Dataset:
    """A data set in one NumPy file with Keras' keys: x_train, y_train, x_test, y_test.

    Samples are features [samples, features] or images, [samples, height, width] or [samples, height, width, channels];
    labels are whole numbers from 0, [samples] or [samples, 1]. Each channel of colour images, or all features together,
    is shifted and scaled so that the training part has mean 0 and variance 1. Whole numbers from 0 to 255 are kept as
    bytes. Both parts are whole numbers, or neither. Python objects are never unpickled.

    name: what it is called; the file's own name unless given. classes, shape: what it must have (grey images may come
    as [samples, features]); None for what the training part has.

    Raises:
        InvalidData: the file can't be read, or holds something else.
    """
    if not path.is_file():
        raise InvalidData(f"{path} can't be read as a data set: there is no such file (looked in {Path.cwd()}).")
    return from_copy(name or path.stem, path, [path], lambda: _of_npz(path, classes, shape))


def _of_npz(path: Path, classes: int | None, shape: Shape | None) -> Arrays:
    raw = _read_npz(path)
    train, test = raw["x_train"], raw["x_test"]
    numbers = all(part.dtype.kind in "uif" for part in (train, test))
    if not numbers or train.ndim not in (2, 3, 4) or test.shape[1:] != train.shape[1:] or not train.size:
        raise InvalidData(
            f"{path} has x_train {train.dtype} {train.shape} and x_test {test.dtype} {test.shape}; give numbers "
            "[n, features], [n, height, width] or [n, height, width, channels], alike in both."
        )
    if (train.dtype.kind == "f") != (test.dtype.kind == "f"):
        raise InvalidData(
            f"{path} has x_train {train.dtype} {_range(train)} and x_test {test.dtype} {_range(test)}; store both "
            "alike, as whole numbers or as floating-point ones, on one scale."
        )
    if train.ndim == 4 and train.shape[3] not in _CHANNELS and train.shape[1] in _CHANNELS:
        raise InvalidData(
            f"{path} has x_train {train.shape}, which looks like [n, channels, height, width]; give "
            "[n, height, width, channels]: np.moveaxis(x, 1, -1), for x_test too."
        )
    found = None if train.ndim == 2 else (1 if train.ndim == 3 else train.shape[3], *train.shape[1:3])
    if shape is not None and found != shape:
        if found is not None or shape[0] != 1 or train.shape[1] != np.prod(shape):
            raise InvalidData(
                f"{path} has x_train {train.shape}; give [n, height, width, channels] with channels, height and width "
                f"{shape}."
            )
        found = shape
    labels = [_labels(path, key, raw[key]) for key in ("y_train", "y_test")]
    x = [flattened(part) for part in (train, test)]
    if x[0].dtype != x[1].dtype:
        x = [part.astype(np.float32) for part in x]
    return measured((x[0], labels[0]), (x[1], labels[1]), classes or int(labels[0].max()) + 1, found)


def _range(x: np.ndarray) -> str:
    return f"from {x.min()} to {x.max()}" if x.size else "without samples"


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:  # which np.load leaves open when it fails
            file = np.load(stream, allow_pickle=False)
            names = list(file.files) if isinstance(file, np.lib.npyio.NpzFile) else []
            arrays = {key: file[key] for key in PARTS if key in names}
    except Exception as error:  # whatever zipfile, zlib and numpy make of a damaged file
        raise InvalidData(
            f"{path} can't be read as a data set ({error}); give arrays of numbers, saved by numpy.savez. Python "
            "objects are never unpickled."
        ) from error
    missing = [key for key in PARTS if key not in arrays]
    if missing:
        raise InvalidData(f"{path} lacks {', '.join(missing)}; it has {', '.join(names) or 'nothing'}.")
    return arrays


def _labels(path: Path, key: str, y: np.ndarray) -> np.ndarray:
    if y.dtype.kind not in "iu" or y.shape not in ((y.size,), (y.size, 1)) or not y.size:
        raise InvalidData(f"{path} has labels {key} {y.dtype} {y.shape}; give one whole number per sample.")
    return y.reshape(-1).astype(np.int64)


def from_folder(path: Path) -> Dataset:
    """A data set of images in folders: PATH/train/CLASS and PATH/test/CLASS, or PATH/CLASS alone.

    Where there is no test/, val/, valid/ or validation/ is for testing; capitals don't matter. Folders beside these two
    parts are left out. Classes are numbered in the order of their names. Without parts, every fifth image of a class,
    by name, is for testing. All images must have one size; they are grey only if all of them are. Shifted and scaled as
    by `from_npz`.

    Raises:
        InvalidData: no images, images that can't be read or differ, one part alone, a class to be tested that nothing
            is learnt about.
    """
    if not path.is_dir():
        raise InvalidData(f"{path} is no folder; give one that holds one folder of images per class.")
    parts = _parts(path)
    if parts:
        train, test = (_classes(part) for part in parts)
        unknown = sorted(test.keys() - train.keys())
        if unknown:
            raise InvalidData(f"{parts[1] / unknown[0]} is a class that {parts[0]} lacks; give both the same folders.")
    else:
        whole = _classes(path)
        train = {label: [f for at, f in enumerate(files, 1) if at % EVERY] for label, files in whole.items()}
        test = {label: files[EVERY - 1 :: EVERY] for label, files in whole.items()}
    rows = [
        [(file, number) for number, label in enumerate(sorted(train)) for file in part.get(label, [])]
        for part in (train, test)
    ]
    if not all(rows):
        raise InvalidData(
            f"{path} leaves no images to train on or to test; give at least {EVERY} images per class, or folders "
            "train/ and test/ with one folder per class each."
        )
    files = [file for part in rows for file, _ in part]
    return from_copy(path.resolve().name, path, files, lambda: _of_images(path, rows, len(train)))


def _parts(path: Path) -> list[Path]:
    """The folders of what is trained on and what is tested on; none where the folders are classes."""
    below = _folders(path)
    named = [[folder for folder in below if folder.name.lower() in names] for names in (_TRAIN, _TEST, _VALIDATION)]
    train, test = named[0], named[1] or named[2]
    if train and test:
        for part in (train, test):
            if len(part) > 1:
                raise InvalidData(f"{path} holds both {part[0].name}/ and {part[1].name}/; keep one of them.")
        return [train[0], test[0]]
    if below and len(below) == sum(map(len, named)):
        raise InvalidData(
            f"{path} holds {' and '.join(f'{folder.name}/' for folder in below)} alone; give train/ and test/ (or "
            "val/) with one folder of images per class each, or one folder per class and neither of them."
        )
    return []


def _folders(path: Path) -> list[Path]:
    return sorted(below for below in path.iterdir() if below.is_dir() and not below.name.startswith("."))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The images of each class, by name, in whatever folders below the class's own."""
    found = {}
    for label in _folders(folder):
        found[label.name] = sorted(
            file for file in label.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        )
        if not found[label.name]:
            raise InvalidData(f"{label} holds no images; give some ({', '.join(SUFFIXES)}), or remove the folder.")
    if not found:
        raise InvalidData(f"{folder} holds no folders; give one folder of images per class.")
    return found


def _of_images(path: Path, rows: list[list[tuple[Path, int]]], classes: int) -> Arrays:
    grey = all(_opened(file for part in rows for file, _ in part))
    parts = []
    for part in rows:
        images = stacked(str(path), _decoded((file for file, _ in part), grey), len(part))
        parts.append((images, np.array([label for _, label in part], np.int64)))
    shape = parts[0][0].shape[1:]
    if parts[1][0].shape[1:] != shape:
        raise InvalidData(
            f"{path}: {rows[1][0][0]} has channels, height and width {parts[1][0].shape[1:]}, but {rows[0][0][0]} has "
            f"{shape}; all images must be alike: resize them."
        )
    flat = [(images.reshape(len(images), -1), labels) for images, labels in parts]
    return measured(flat[0], flat[1], classes, shape)


def _opened(files: Iterable[Path]) -> Iterator[bool]:
    """Whether each is grey, by its header alone."""
    from PIL import Image

    for file in files:
        try:
            with Image.open(file) as image:
                yield is_grey(image.mode)
        except Exception as error:  # whatever Pillow makes of a damaged file
            raise InvalidData(f"{file} can't be read as an image: {error}.") from error


def _decoded(files: Iterable[Path], grey: bool) -> Iterator[tuple[str, np.ndarray]]:
    from PIL import Image

    for file in files:
        try:
            with Image.open(file) as image:
                found = pixels(image, grey)
        except Exception as error:  # whatever Pillow makes of a damaged file
            raise InvalidData(f"{file} can't be read as an image: {error}.") from error
        yield str(file), found
