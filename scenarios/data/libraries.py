"""Data sets through the classes of torchvision and Avalanche, which know the layouts of the files."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from plastic_env.errors import InvalidData, look_up
from plastic_env.scenarios.data.arrays import Arrays, measured, stacked
from plastic_env.scenarios.data.files import EVERY, Shape
from plastic_env.scenarios.data.images import pixels

MODULES = {"torchvision": "torchvision.datasets", "avalanche": "avalanche.benchmarks.datasets"}
FIXED: dict[str, dict[str, Any]] = {  # which of several data sets in one
    "EMNIST": {"split": "balanced"},
    "CORe50Dataset": {"mini": True},
}
_UNUSABLE = {"ImageNet"}  # images of many sizes, and a list of classes that old versions unpickle
_LEARNT, _TESTED = ("train", "trainval"), ("test", "val", "valid")  # names of parts, the first that there is
_Options = list[dict[str, Any]]


class Absent(Exception):
    """The files are not in that folder, or not all of them."""


def find_class(library: str, name: str) -> type:
    """The class called `name` of torchvision's or Avalanche's data sets of labelled images.

    Raises:
        UnknownName: no such class, or its data are of another kind.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that Avalanche imports
        module = importlib.import_module(MODULES[library])
    classes = {key: value for key, value in vars(module).items() if inspect.isclass(value) and _fits(value)}
    return look_up(dict(sorted(classes.items())), name, f"data set of {library}")


def _fits(kind: type) -> bool:
    """Whether it can be made of a root alone, has labels, and is split or can be downloaded."""
    parameters = list(inspect.signature(kind).parameters.values())
    needed = {p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
    known = {"root", *FIXED.get(kind.__name__, ())}
    names = _accepted(kind)
    usable = {"root", "target_transform"} <= names and bool(names & {"train", "split", "download"})
    return usable and needed <= known and kind.__name__ not in _UNUSABLE


def _accepted(kind: type) -> set[str]:
    """The arguments that it takes, with those that it hands on to the classes that it is made of."""
    names: set[str] = set()
    for base in kind.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            names |= set(parameters)
            if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                break
    return names


def can_download(kind: type) -> bool:
    """Whether it offers to download its files."""
    return "download" in _accepted(kind)


def download(kind: type, root: Path) -> None:
    """Let it fetch its files into a folder, with its own progress bar.

    Raises:
        Exception: whatever it raises without a network, or when what arrives is not what it should be.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # their chatter; the progress bar is not part of it
        _parts(kind, root, download=True)


def decode(kind: type, root: Path, where: str, classes: int | None, shape: Shape | None) -> Arrays:
    """The data set that the class finds in a folder.

    where: what errors call it. classes, shape: what it must have; None for what the training part has.

    Raises:
        Absent: the files are not there. InvalidData: they are damaged, or hold no labelled images of one size.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            parts = _parts(kind, root, download=False)
    except (RuntimeError, OSError) as error:  # what all of them raise for files that are missing
        raise Absent(str(error)) from error
    except InvalidData:
        raise
    except Exception as error:  # whatever they make of a damaged file
        raise InvalidData(f"{where} can't be read by {kind.__name__}: {type(error).__name__}: {error}.") from error
    if len(parts) == 2:
        rows = [_in_order(part) for part in parts]
    else:
        every = _in_order(parts[0])
        test = np.arange(1, len(every) + 1) % EVERY == 0
        parts, rows = parts * 2, [every[~test], every[test]]
    train, test_part = (_arrays(where, *part) for part in zip(("training", "test"), parts, rows, strict=True))
    found = train[0].shape[1:]
    if found != test_part[0].shape[1:] or found != (shape or found):
        raise InvalidData(
            f"{where} has images of channels, height and width {found} to train on and {test_part[0].shape[1:]} to "
            f"test; give {shape or found}."
        )
    flat = [(np.ascontiguousarray(x).reshape(len(x), -1), y) for x, y in (train, test_part)]
    return measured(flat[0], flat[1], classes or int(flat[0][1].max()) + 1, found)


def _parts(kind: type, root: Path, download: bool) -> list[Any]:
    """What is trained on and what is tested on, or all of it where it is not split."""
    names, fixed = _accepted(kind), dict(FIXED.get(kind.__name__, {}))
    if "download" in names:
        fixed["download"] = download
    if not download:
        _refuse_pickles(kind, root)
    if hasattr(kind, "_check_legacy_exist"):  # files of torchvision before 0.9, which it would unpickle
        kind = type(kind.__name__, (kind,), {"_check_legacy_exist": lambda self: False})
    if "train" in names:
        return [kind(str(root), train=train, **fixed) for train in (True, False)]
    if "split" in names:
        return [_first(kind, str(root), [{"split": split, **fixed} for split in given]) for given in (_LEARNT, _TESTED)]
    return [kind(str(root), **fixed)]


def _first(kind: type, root: str, options: _Options) -> Any:
    """Made with the first options that it knows."""
    for option in options[:-1]:
        with contextlib.suppress(ValueError):
            return kind(root, **option)
    return kind(root, **options[-1])


def _refuse_pickles(kind: type, root: Path) -> None:
    """Some of Avalanche's classes unpickle files of their archives: only the published ones, whose checksums stand in
    Avalanche's own sources. (torchvision checks CIFAR's itself.)"""
    if not kind.__module__.startswith("avalanche."):
        return
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(inspect.getfile(kind)).parent.glob("*.py"))
    for path in sorted(root.glob("*.pkl")):
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() not in sources:
            raise InvalidData(f"{path} is not the file that was published, and is never unpickled; delete it.")


def _in_order(part: Any) -> np.ndarray:
    """Indices of all samples; sorted where Avalanche takes files in the order in which the disk lists them."""
    paths = getattr(part, "data", None)
    if isinstance(paths, list) and paths and all(isinstance(path, Path) for path in paths):
        return np.array(sorted(range(len(paths)), key=lambda index: (part.targets[index], str(paths[index]))))
    return np.arange(len(part))


def _arrays(where: str, part_name: str, part: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[samples, channels, height, width] images and [samples] labels."""
    labels = np.empty(len(rows), np.int64)

    def images() -> Iterator[tuple[str, np.ndarray]]:
        for at, index in enumerate(rows.tolist()):
            name = f"sample {index} of the {part_name} part"
            try:
                image, label = part[index][:2]
                labels[at] = int(label)
                found = pixels(image)
            except Exception as error:  # whatever they make of a damaged file, or what is no image with a label
                raise InvalidData(f"{where}: {name} is no image with one label: {error}.") from error
            yield name, found

    if not len(rows):
        raise InvalidData(f"{where}: the {part_name} part has no samples.")
    return stacked(where, images(), len(rows)), labels
