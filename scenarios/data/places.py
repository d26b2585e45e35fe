"""Where data sets are looked for, where downloads go, and where decoded copies are kept."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody waits, and some work may be done twice
    fcntl = None  # type: ignore[assignment]

from plastic_env.files import UNFINISHED

VARIABLE = "PLASTIC_ENV_DATA"
_DEAD = 24 * 3600.0  # seconds after which nobody works on an unfinished folder any more


def given() -> Path | None:
    """The folder that $PLASTIC_ENV_DATA names, if it is set."""
    value = os.environ.get(VARIABLE)
    return Path(value).expanduser() if value else None


def own() -> Path:
    """This user's own folder: $XDG_CACHE_HOME/plastic_env, or ~/.cache/plastic_env."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()) / "plastic_env"


def copies() -> Path:
    """Where decoded copies are kept: .cache in $PLASTIC_ENV_DATA if that can be written to, else `own`."""
    folder = given()
    return folder / ".cache" if folder is not None and _writable(folder) else own()


def downloads() -> Path:
    """Where downloads go: $PLASTIC_ENV_DATA if that can be written to or made, else `own`."""
    folder = given()
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if _writable(folder):
            return folder
    return own()


def roots(key: str, avalanche: str, alone: bool = False) -> list[Path]:
    """Folders that torchvision or Avalanche may have been given as a data set's root, in the order in which they are
    looked at: $PLASTIC_ENV_DATA, Avalanche's, ./data (torchvision has no default of its own; its examples use that),
    and earlier downloads.

    key: name of the data set's own folder. avalanche: name of Avalanche's folder for it. alone: whether only folders
        count that hold nothing else.
    """
    folder, here = given(), Path("data").absolute()
    if alone:
        first, here = [] if folder is None else [folder / key], here / key
    else:
        first = [] if folder is None else [folder, folder / key]
    return [*first, _avalanche() / avalanche, here, own() / key]


def _avalanche() -> Path:
    """Avalanche's folder of data sets, by its own settings, without the six seconds that importing it takes."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        settings = json.loads(Path("~/.avalanche/config.json").expanduser().read_text(encoding="utf-8"))
        return Path(settings["dataset_location"]).expanduser()
    return Path("~/.avalanche/data").expanduser()


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Have no other process work in a folder at the same time, so that what many want is made by one.

    Where that is impossible, all go ahead: nothing breaks then, it only takes more work. Do not nest.
    """
    handle = None
    if fcntl is not None:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def clear_leftovers(folder: Path, start: str = ".") -> None:
    """Remove what killed processes left unfinished: hidden folders with names that start like that, in which nothing
    has changed for a day, since without locks others may be at work on the rest."""
    for leftover in folder.glob(f"{start}*{UNFINISHED}"):
        with suppress(OSError):
            latest = max(path.lstat().st_mtime for path in (leftover, *leftover.rglob("*")))
            if time.time() - latest > _DEAD:
                shutil.rmtree(leftover, ignore_errors=True)
