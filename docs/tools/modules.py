"""The reference: a page for every module, made when the site is built."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import docstrings

from plastic_env.study.catalogue import line

ROOT = Path(__file__).parents[2]
FOLDERS = ("plastic_env", "agents", "scenarios")
COMMANDS = "plastic_env.cli"  # documented by their --help


def names() -> list[str]:
    """All modules of the project but its command line, packages before what is in them."""
    found = {of_file(str(path.relative_to(ROOT))) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    return sorted(found - {None})


def of_file(path: str) -> str | None:
    """The module that has a page, by its file's path from the checkout's root; None if that is none."""
    parts = Path(path).with_suffix("").parts
    if parts[0] not in FOLDERS or Path(path).suffix != ".py" or parts[-1] == "__main__":
        return None
    name = ".".join(parts if parts[0] == "plastic_env" else ("plastic_env", *parts)).removesuffix(".__init__")
    return None if name.startswith(COMMANDS) else name


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes and functions that a module defines for others."""
    for name, thing in vars(module).items():
        defined = inspect.isclass(thing) or inspect.isfunction(thing)
        if defined and name[0] != "_" and thing.__module__ == module.__name__:
            yield name, thing


def targets() -> dict[str, str]:
    """Full names by what docstrings call things: `Class` and `function`, where only one is called so, `Class.member`,
    `file.py`, and full names themselves."""
    found: dict[str, set[str]] = {}
    for module in map(importlib.import_module, names()):
        for short in (module.__name__, f"{module.__name__.rpartition('.')[2]}.py"):
            found.setdefault(short, set()).add(module.__name__)
        for name, thing in public(module):
            members = [f"{name}.{member}" for member in _members(thing)] if inspect.isclass(thing) else []
            for short in (name, *members):
                full = f"{module.__name__}.{short}"
                found.setdefault(short, set()).add(full)
                found.setdefault(full, set()).add(full)
    return {short: full.pop() for short, full in found.items() if len(full) == 1}


def described(thing: Any) -> set[str]:
    """The names of what a docstring may explain: arguments or fields."""
    if is_dataclass(thing):
        return {field.name for field in fields(thing)}
    if inspect.isclass(thing):
        thing_fields = getattr(thing, "_fields", None) or getattr(thing, "__annotations__", ())
        return {*thing_fields, *_arguments(thing)}
    return _arguments(thing)


def write_pages(folder: Path) -> None:
    """One page per module into a folder; pages that are as they should be are left alone."""
    folder.mkdir(exist_ok=True)
    known = names()
    for name in known:
        page, text = folder / f"{name}.rst", "\n".join(_page(name, known))
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
    for stale in {path for path in folder.glob("*.rst") if path.stem not in known}:
        stale.unlink()


def _page(name: str, known: list[str]) -> Iterator[str]:
    """A module's docstring, what it offers at a glance, the modules in it, and everything at length."""
    module = importlib.import_module(name)
    title = name.removeprefix("plastic_env.")
    yield from (title, "=" * len(title), "", f".. automodule:: {name}", "   :no-members:", "")
    full = {thing.__name__: f"{thing.__module__}.{thing.__name__}" for thing in _offered(module)}
    if full:
        yield from (".. list-table::", "   :widths: 30 70", "")
        for short, thing in full.items():
            yield f"   * - :py:obj:`{short} <{thing}>`"
            yield f"     - {docstrings.inline(line(_found(thing)), {})}"
        yield ""
    inside = [other for other in known if other.rpartition(".")[0] == name]
    if inside:
        yield from (".. toctree::", "   :maxdepth: 1", "", *(f"   {other}" for other in inside), "")
    for short, thing in public(module):
        directive = "autoexception" if inspect.isclass(thing) and issubclass(thing, Exception) else ""
        directive = directive or ("autoclass" if inspect.isclass(thing) else "autofunction")
        yield from (f".. {directive}:: {name}.{short}", *(["   :members:"] if inspect.isclass(thing) else []), "")


def _offered(module: ModuleType) -> list[Any]:
    """What people import from it: what it says itself, or what it defines."""
    said = getattr(module, "__all__", None)
    things = [getattr(module, name) for name in said] if said else [thing for _, thing in public(module)]
    return [thing for thing in things if hasattr(thing, "__name__")]


def _found(full: str) -> Any:
    module, _, name = full.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _members(kind: type) -> list[str]:
    """Its own public methods and properties."""
    kinds = (property, cached_property, staticmethod, classmethod, FunctionType)
    return [name for name, member in vars(kind).items() if name[0] != "_" and isinstance(member, kinds)]


def _arguments(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return set()
