"""Modules in files of the user's own: agents and studies."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from plastic_env.errors import FileError

_LOADED: dict[Path, tuple[bytes, ModuleType]] = {}  # the modules of files, and from what text


def load_file(file: Path, what: str) -> ModuleType:
    """The module in a file of the user's, in which there should be `what`; it may import from beside it.

    Raises:
        FileError: there is no such file, or it raises.
    """
    if not file.is_file():
        raise FileError(f"There is no file {str(file)!r} to load {what} from (looked in {Path.cwd()}).")
    place, text = file.resolve(), file.read_bytes()
    loaded, before = _LOADED.get(place, (b"", None))
    if before is not None and loaded == text:
        return before  # one class for all its agents, as pickling them needs
    spec = importlib.util.spec_from_file_location(file.stem, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if sys.modules.get(file.stem, before) is before:  # nobody else's
        sys.modules[file.stem] = module  # where dataclasses and pickle look for it
    if str(place.parent) not in sys.path:
        sys.path.append(str(place.parent))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise FileError(f"{file} can't be imported: {told(error)}") from error
    _LOADED[place] = text, module
    return module


def told(error: BaseException) -> str:
    """What somebody's own code raised, in a line."""
    return f"{type(error).__name__}: {error}"
