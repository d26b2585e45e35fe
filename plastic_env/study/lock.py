"""One process at a time in a folder of results."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out
    fcntl = None  # type: ignore[assignment]

from plastic_env.errors import FileError
from plastic_env.files import make_folder

LOCK = ".lock"  # in a folder of results, while somebody is at work there
_HELD: set[Path] = set()  # folders that this process has


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep all other processes from running studies in a folder, which is made if need be; may be nested.

    The system lets go of it when the process ends, in whatever way. Disks without locks keep nobody out.

    Raises:
        FileError: another process is at work there; which one.
    """
    make_folder(folder)
    place = folder.resolve()
    handle = None
    if fcntl is not None and place not in _HELD:
        handle = _taken(place / LOCK)
    if handle is None:
        yield
        return
    _HELD.add(place)
    try:
        yield
    finally:
        _HELD.remove(place)
        (place / LOCK).unlink(missing_ok=True)
        os.close(handle)


def _taken(path: Path) -> int | None:
    """The file, locked for this process; None where that can't be done."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:  # nothing can be written here, as the first result will tell, if there is one to write
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise FileError(
                f"Another run is at work in {path.parent}: {_holder(path)}. Wait until it ends, stop it, or choose "
                "another --out."
            ) from None
        except OSError:  # no locks on this disk
            os.close(handle)
            return None
        if _is(path, handle):
            with suppress(OSError):  # a full disk: others aren't told who it is then
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {platform.node()}, since {datetime.now():%c}".encode())
            return handle
        os.close(handle)


def _is(path: Path, handle: int) -> bool:
    """Whether an open file is still the one of this name: whoever had it before may have removed it meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    """Who says to be at work there."""
    with suppress(OSError):
        return path.read_text() or "process unknown"
    return "process unknown"
