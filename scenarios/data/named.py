"""Data sets that others publish: where they are looked for, and how they are fetched."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plastic_env.errors import InvalidData, UnknownName
from plastic_env.files import UNFINISHED
from plastic_env.scenarios.data import libraries, places
from plastic_env.scenarios.data.arrays import Arrays
from plastic_env.scenarios.data.copies import from_copy
from plastic_env.scenarios.data.files import Shape, from_npz
from plastic_env.streams.samples import Dataset

_PATIENCE = 30.0  # seconds without an answer from the network


@dataclass(frozen=True)
class Published:
    """A data set that torchvision or Avalanche reads.

    name: what it is called here. library: "torchvision" or "avalanche". kind: its class there.
    key: name of its .npz file and of its own folder. avalanche: name of its folder at Avalanche's, if another one.
    files: the folder below its root that holds all of its files, and nothing else; "" if it has none, or only its class
        knows: then its root must be a folder of its own.
    classes, shape: what it must have; None for what is found.
    """

    name: str
    library: str
    kind: str
    key: str
    avalanche: str = ""
    files: str = ""
    classes: int | None = None
    shape: Shape | None = None

    @property
    def roots(self) -> list[Path]:
        """Folders that may hold its files, the .npz file aside."""
        return places.roots(self.key, self.avalanche or self.key, alone=not self.files)


class _NoDownloadError(Exception):
    """The class reads the files, but can't fetch them."""


_GREY, _COLOUR, _LARGER = (1, 28, 28), (3, 32, 32), (3, 64, 64)
PUBLISHED = {
    name: Published(name, library, kind, name, avalanche, files, classes, shape)
    for name, library, kind, avalanche, files, classes, shape in (
        ("mnist", "torchvision", "MNIST", "", "MNIST/raw", 10, _GREY),
        ("fashion_mnist", "torchvision", "FashionMNIST", "fashionmnist", "FashionMNIST/raw", 10, _GREY),
        ("emnist", "torchvision", "EMNIST", "", "EMNIST/raw", 47, _GREY),
        ("cifar10", "torchvision", "CIFAR10", "", "cifar-10-batches-py", 10, _COLOUR),
        ("cifar100", "torchvision", "CIFAR100", "", "cifar-100-python", 100, _COLOUR),
        ("tiny_imagenet", "avalanche", "TinyImagenet", "tinyimagenet", "tiny-imagenet-200", 200, _LARGER),
    )
}
_BELOW = {  # folders that torchvision's classes keep below their roots, of images of one size
    "CLEVRClassification": "clevr",
    "EuroSAT": "eurosat",
    "FER2013": "fer2013",
    "KMNIST": "KMNIST/raw",
    "LFWPeople": "lfw-py",
    "Omniglot": "omniglot-py",
    "PCAM": "pcam",
    "QMNIST": "QMNIST/raw",
    "RenderedSST2": "rendered-sst2",
    "STL10": "stl10_binary",
}
_FOLDERS = {"CUB200": "CUB_200_2011", "CORe50Dataset": "core50"}  # as Avalanche calls them; others as their classes


def any_of(library: str, kind: str) -> Dataset:
    """The data set of a class of torchvision or Avalanche, by the name of the class.

    Raises:
        UnknownName: no such class, or its data are no labelled images. InvalidData: as for `published`.
    """
    for source in PUBLISHED.values():
        if (source.library, source.kind) == (library, kind):
            return published(source)
    if not kind.isidentifier():
        libraries.find_class(library, kind)
    below = _BELOW.get(kind, "") if library == "torchvision" else ""
    return published(Published(f"{library}:{kind}", library, kind, _FOLDERS.get(kind, kind.lower()), files=below))


def published(source: Published) -> Dataset:
    """The data set from the first place that has it, else from the network.

    Raises:
        InvalidData: it is nowhere and can't be downloaded; or what was found is damaged, or something else.
    """
    given = places.given()
    if given is not None and (npz := given / f"{source.key}.npz").is_file():
        return from_npz(npz, source.name, source.classes, source.shape)
    for root in source.roots:
        found = _read(source, root)
        if found is not None:
            return found
    root = places.downloads() / source.key
    try:
        _download(source)
    except InvalidData:  # because others have put it there meanwhile, where there are no locks
        found = _read(source, root)
        if found is None:
            raise
        return found
    found = _read(source, root)
    if found is None:
        raise InvalidData(f"{root} holds no whole {source.name} after its download; delete it and try again.")
    return found


def _read(source: Published, root: Path) -> Dataset | None:
    """The data set from a folder, or None if it is not there."""
    place = root / source.files
    if not place.is_dir():
        return None
    files = sorted(
        path
        for path in place.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(place).parts)
    )

    def decode() -> Arrays:
        kind = libraries.find_class(source.library, source.kind)
        return libraries.decode(kind, root, str(place), source.classes, source.shape)

    try:
        return from_copy(source.name, place, files, decode)
    except libraries.Absent as error:
        if source.name in PUBLISHED:  # its folder is there; others' may be a folder of their own with the same name
            raise InvalidData(
                f"{place} can't be read as {source.name}: {error} Delete it, or complete it, which this does: "
                f"{_command(source, root)}"
            ) from error
        return None


def _download(source: Published) -> None:
    """Fetch the files into the data set's own folder, which is made in one step when all of them are there.

    Raises:
        InvalidData: that failed.
    """
    final = places.downloads() / source.key
    taken = _holds_something(final)
    try:
        with places.alone_in(final.parent):
            if taken:
                raise FileExistsError(f"{final} is in the way: it holds something else")
            if not _holds_something(final):  # else another process has fetched it meanwhile
                _fetch(source, final)
    except UnknownName:
        raise
    except Exception as error:  # no network, no space, a server that sends something else, ...
        raise InvalidData(_nowhere(source, error)) from error


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _fetch(source: Published, final: Path) -> None:
    kind = libraries.find_class(source.library, source.kind)
    if not libraries.can_download(kind):
        raise _NoDownloadError(f"{source.library} does not fetch it by itself")
    places.clear_leftovers(final.parent, f".{source.key}-")
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{source.key}-", suffix=UNFINISHED) as unfinished:
        folder = Path(unfinished) / source.key  # one that others may read, unlike temporary ones
        folder.mkdir()
        with _patience():
            libraries.download(kind, folder)
        folder.rename(final)


@contextmanager
def _patience() -> Iterator[None]:
    """Both libraries would wait for a silent network for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _nowhere(source: Published, error: Exception) -> str:
    given, variable = places.given(), f"${places.VARIABLE}"
    first = f"{variable} (not set)" if given is None else str(given / f"{source.key}.npz")
    looked = "".join(f"\n  {place}" for place in (first, *(root / source.files for root in source.roots)))
    reason = " ".join(str(error).split())[:300]
    data = Path("data") if source.files else Path("data") / source.key
    second = (
        f"let {source.library} put it into a folder: on a machine with a network, run\n"
        f"       {_command(source, data)}\n     then copy the folder data here"
    )
    if isinstance(error, _NoDownloadError):
        second = (
            f"put the files that {source.library}'s {source.kind} reads into a folder called {source.key}, as its "
            "documentation says, and that into another one"
        )
    return (
        f"Data set {source.name!r} is in none of the places where it was looked for, and can't be downloaded "
        f"({type(error).__name__}: {reason}). Looked for:{looked}\nThere are two ways to supply it:\n"
        f"  1. save it as {source.key}.npz, with the arrays x_train, y_train, x_test and y_test, in a folder, and set "
        f"{variable} to that folder;\n"
        f"  2. {second}, and set {variable} to that folder."
    )


def _command(source: Published, root: Path) -> str:
    arguments = {**libraries.FIXED.get(source.kind, {}), "download": True}
    given = "".join(f", {key}={value!r}" for key, value in arguments.items())
    module = libraries.MODULES[source.library]
    return f'python -c "from {module} import {source.kind}; {source.kind}({str(root)!r}{given})"'
