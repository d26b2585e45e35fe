"""Decoded copies of data sets, mapped into memory: one for all processes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from plastic_env.errors import InvalidData
from plastic_env.files import UNFINISHED
from plastic_env.scenarios.data import places
from plastic_env.scenarios.data.arrays import PARTS, Arrays
from plastic_env.streams.samples import Dataset

VERSION = 1  # of the copies; rises whenever they would hold something else
SMALL = 2**20  # bytes below which every process may have a copy of its own
_ABOUT = "about.json"


def from_copy(name: str, source: Path, files: Iterable[Path], decode: Callable[[], Arrays]) -> Dataset:
    """The data set that `decode` makes of some files, from its copy if there is one, else decoded and copied.

    The copies are plain .npy files that all processes map into memory (nobody's changes reach the file, or others).
    They belong to their files' sizes and times, and are made anew when those change, or when a copy is damaged. Where
    none can be written, each process decodes the files for itself.

    name: what the data set is called. source: the file or folder that it is from. files: what decides its content.

    Raises:
        InvalidData: the files hold no data set.
    """
    folder = places.copies()
    entry = folder / _key(name, source, files)
    found = _opened(entry, name)
    if found is not None:
        return found
    with places.alone_in(folder):
        found = _opened(entry, name)  # somebody else may have made it meanwhile
        if found is not None:
            return found
        arrays = decode()
        try:
            dataset = arrays.dataset(name)
        except InvalidData as error:
            raise InvalidData(f"{source}: {error}") from error
        if arrays.nbytes < SMALL:
            return dataset
        found = _opened(entry, name)  # where there are no locks: nobody else's copy is replaced, it may be in use
        if found is None:
            with suppress(OSError):  # no space, no rights: then it stays in this process's memory
                _store(entry, arrays)
        return found or _opened(entry, name) or dataset


def _key(name: str, source: Path, files: Iterable[Path]) -> str:
    place = hashlib.sha256(f"{name}\n{source.resolve()}".encode()).hexdigest()[:12]
    content = hashlib.sha256(f"{VERSION}\n".encode())
    for path in files:
        about = path.stat()
        content.update(f"{path}\n{about.st_size} {about.st_mtime_ns}\n".encode(errors="surrogateescape"))
    readable = re.sub(r"\W+", "-", name)[-40:]
    return f"{readable}-{place}-{content.hexdigest()[:24]}"


def _opened(entry: Path, name: str) -> Dataset | None:
    """The data set of a copy, or None if there is none, or it is damaged."""
    try:
        about = json.loads((entry / _ABOUT).read_text(encoding="utf-8"))
        # copy-on-write, since PyTorch has no tensors that can't be written to
        arrays = {part: np.load(entry / f"{part}.npy", mmap_mode="c", allow_pickle=False) for part in PARTS}
        shape = None if about["shape"] is None else tuple(about["shape"])
        rest = {key: about[key] for key in ("classes", "mean", "deviation")}
        return Arrays(**arrays, shape=shape, **rest).dataset(name)
    except Exception:  # whatever a damaged file leads to
        return None


def _store(entry: Path, arrays: Arrays) -> None:
    """Write a copy, whole or not at all, and remove those of what its source held before.

    Raises:
        OSError: it can't be written.
    """
    places.clear_leftovers(entry.parent)
    about = {key: getattr(arrays, key) for key in ("classes", "shape", "mean", "deviation")}
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".", suffix=UNFINISHED) as unfinished:
        folder = Path(unfinished) / entry.name  # one that others may read, unlike temporary ones
        folder.mkdir()
        (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        for part in PARTS:
            with (folder / f"{part}.npy").open("wb") as file:
                np.save(file, getattr(arrays, part), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        for old in entry.parent.glob(f"{entry.name.rpartition('-')[0]}-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder.rename(entry)
