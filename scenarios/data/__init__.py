"""Data sets by name, loaded once per process and shared by all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from plastic_env.errors import InvalidData, UnknownName, look_up
from plastic_env.scenarios.data import embedded, files, named
from plastic_env.streams.samples import Dataset

DATASETS = {
    "digits": "scanned digits, 8 x 8, 10 classes; comes with scikit-learn",
    "digit_pairs": "two of the digits side by side, 8 x 16, 100 classes",
    "mnist1d": "MNIST-1D, signals of 40 values, 10 classes; computed, needs plastic_env[mnist1d]",
    "mnist": "handwritten digits, 28 x 28, 10 classes",
    "fashion_mnist": "pieces of clothing, 28 x 28, 10 classes",
    "emnist": "handwritten letters and digits (balanced), 28 x 28, 47 classes",
    "cifar10": "colour photographs, 3 x 32 x 32, 10 classes",
    "cifar100": "colour photographs, 3 x 32 x 32, 100 classes",
    "tiny_imagenet": "colour photographs, 3 x 64 x 64, 200 classes",
}  # what there is by plain names, and one line about each
PREFIXES = {
    "npz:PATH": "a NumPy file of your own, with Keras' keys x_train, y_train, x_test, y_test",
    "folder:PATH": "a folder of your own, with one folder of images per class",
    "torchvision:NAME": "any of torchvision's data sets of labelled images, by the name of its class",
    "avalanche:NAME": "any of Avalanche's data sets of labelled images, by the name of its class",
}  # what else `load` takes, and one line about each

_PLAIN: dict[str, Callable[[], Dataset]] = {
    "digits": embedded.digits,
    "digit_pairs": embedded.digit_pairs,
    "mnist1d": embedded.mnist1d,
    **{name: partial(named.published, source) for name, source in named.PUBLISHED.items()},
}
_PREFIXED: dict[str, Callable[[str], Dataset]] = {
    "npz": lambda path: files.from_npz(_path("npz", path)),
    "folder": lambda path: files.from_folder(_path("folder", path)),
    "torchvision": lambda name: named.any_of("torchvision", name),
    "avalanche": lambda name: named.any_of("avalanche", name),
}


def load(name: str) -> Dataset:
    """The data set called `name`: a name in `DATASETS`, or one of the kinds in `PREFIXES`.

    Published data sets are looked for in $PLASTIC_ENV_DATA, in Avalanche's folder and in ./data, and downloaded
    otherwise. What is read from files is kept decoded, in .cache in $PLASTIC_ENV_DATA or in ~/.cache/plastic_env, and
    mapped from there by all processes; where nothing can be written, each has a copy of its own. Files that change
    later are read again by new processes.

    Many data sets may share $PLASTIC_ENV_DATA and ./data, so that of these only what is known to belong to this one is
    looked at: the folder that torchvision's class keeps below its root (as MNIST/raw). Where a class has none, or it is
    not known, as with all of "avalanche:NAME", its root must be a folder of its own that has its name in small letters:
    $PLASTIC_ENV_DATA/svhn, ./data/svhn. No other file makes a data set be decoded again.

    Raises:
        UnknownName: no such name. InvalidData: the data can't be found or read, or are something else.
    """
    kind, colon, _ = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not (colon and kind in _PREFIXED):
        try:
            look_up(_PLAIN, name, "data set")
        except UnknownName as error:
            raise UnknownName(f"{error} Others: {', '.join(PREFIXES)}.") from None
    return _load(name)


@cache
def _load(name: str) -> Dataset:
    kind, colon, rest = name.partition(":")
    return _PREFIXED[kind](rest) if colon else _PLAIN[name]()


def _path(kind: str, path: str) -> Path:
    if not path:
        raise InvalidData(f"Data set '{kind}:' names no {'file' if kind == 'npz' else 'folder'}; give {kind}:PATH.")
    return Path(path).expanduser()
