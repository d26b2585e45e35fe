"""What a study needs of its author's own files, to be taken to machines that don't have them: agents, what they import
from beside them, and learned policies."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from plastic_env.study.methods import around_file, module_of
from plastic_env.study.sweep import Study

MODULES = "modules"  # the folder of a parcel that modules are imported from
_INSTALLED = ("site-packages", "dist-packages")


Files = Mapping[str, bytes]  # by paths in a folder to lay them in


@dataclass(frozen=True)
class Moved:
    """A study that goes with files.

    methods: the study's, with paths in the folder of the files. folder: where its other relative paths are looked for,
    on machines that have it.
    """

    study: Study
    methods: tuple[str, ...]
    folder: str

    def arrived(self, folder: Path) -> Study:
        """The study as it is to be read where its files have been laid in this folder."""
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        methods = []
        for written in self.methods:
            parts = around_file(written)
            methods.append(written if parts is None else f"{parts[0]}{folder / parts[1]}{parts[2]}")
        return replace(self.study, methods=tuple(methods))


def lay(files: Files, folder: Path) -> None:
    """Write files into a folder, and let modules among them be imported from there."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sys.path.insert(0, str(folder / MODULES))


def pack(study: Study) -> tuple[Moved, Files]:
    """A study whose methods have been loaded, and what to take along: of modules beside an agent, those it imported."""
    files, moved, places = dict[str, bytes](), [], dict[Path, str]()
    for written in study.methods:
        parts, module = around_file(written), module_of(written)
        if parts is not None:
            before, path, rest = parts
            folder = Path(path).resolve().parent
            if folder not in places:
                places[folder] = f"folder{len(places)}"
                files |= {f"{places[folder]}/{name}": content for name, content in _imported_from(folder)}
            name = f"{places[folder]}/{Path(path).name}"
            files[name] = Path(path).read_bytes()
            moved.append(f"{before}{name}{rest}")
            continue
        if module is not None:
            files |= {f"{MODULES}/{name}": content for name, content in _imported_from(_origin(module))}
        moved.append(written)
    return Moved(study, tuple(moved), str(Path.cwd())), files


def _origin(module: str) -> Path:
    """The folder in which Python found a module that has been imported."""
    file = Path(sys.modules[module].__file__ or "")
    return file.parents[module.count(".") + (file.name == "__init__.py")]


def _imported_from(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files of the modules that were imported from a folder, by their paths in it; none if they are installed."""
    if folder == Path(sysconfig.get_path("stdlib")) or folder.name in _INSTALLED:
        return
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.partition(".")[0] == "plastic_env" or not file.endswith(".py"):
            continue
        inside = Path(*name.split("."))
        for form in (inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
            if Path(file) == folder / form:
                yield form.as_posix(), Path(file).read_bytes()
