"""Writing files: whole or not at all, but for logs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from plastic_env.errors import FileError

UNFINISHED = ".unfinished"  # ending of hidden files that are being written


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a hidden file beside `path`, then move it there in one step.

    Whatever happens, `path` holds its former content or all of the new one.

    Raises:
        FileError: the disk is full, or the folder can't be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}-{secrets.token_hex(4)}{UNFINISHED}")
        unfinished.touch(exist_ok=False)  # open to whom the folder and the umask say, unlike those of tempfile
        try:
            write(unfinished)
            with unfinished.open("r+b") as file:  # Windows syncs nothing that is open for reading only
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path} can't be written ({error}); free some space, or choose another place.") from error


def make_folder(folder: Path) -> None:
    """Create a folder, with those above it.

    Raises:
        FileError: it can't be, or there is a file of that name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder {folder} can't be written to ({error}); choose another place.") from error


def clear_unfinished(folder: Path) -> None:
    """Remove what killed processes left unfinished."""
    for leftover in folder.glob(f".*{UNFINISHED}"):
        leftover.unlink(missing_ok=True)


def append(path: Path, line: str) -> None:
    """Add a line to a text file: a log, whose last line may be cut off when the machine stops.

    Raises:
        FileError: the disk is full, or the file can't be written to.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise FileError(f"{path} can't be written ({error}); free some space, or choose another place.") from error
