"""A study as text: a TOML file that people write, a Python object, and what a results folder keeps of it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import plastic_env
from plastic_env.errors import FileError, InvalidSetting, PlasticEnvError, look_up
from plastic_env.files import write_atomically
from plastic_env.plain import named_value
from plastic_env.study.modules import load_file, told
from plastic_env.study.sweep import TUNE_SEEDS, Study, code_digest
from plastic_env.study.values import as_settings, shortest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEPT = "study.json"  # in a results folder
NAME = "STUDY"  # what a module calls its study, unless another name is given
TO_DO = "Go on with that version, choose another --out, or run all of it again with --overwrite."
FORMS = "a file.toml, path/to/file.py:NAME, package.module:NAME, or a folder of results"
_KEYS = ("scenarios", "methods", "seeds", "settings", "axes", "tune")
_NEEDED = _KEYS[:3]
_ENDINGS = (".toml", ".json", ".py")


class Versions(NamedTuple):
    """What results depend on beside their settings."""

    plastic_env: str  #: of the package
    code: str  #: digest of the source that decides results

    @staticmethod
    def here() -> Versions:
        """Of this process."""
        return Versions(plastic_env.__version__, code_digest())


def load_study(written: str) -> Study:
    """The study that somebody means: `FORMS`. A module without a name has it as STUDY.

    Raises:
        FileError: there is no such file, or it can't be read. InvalidSetting: something else is written, or it holds
            no study. PlasticEnvError: the study makes no sense.
    """
    place, name = _split(written)
    path = Path(place)
    if path.is_dir():
        return kept_study(path)[0]
    if path.suffix in (".toml", ".json") and not path.is_file():
        raise FileError(f"There is no study {written!r} (looked in {Path.cwd()}); give {FORMS}.")
    if path.suffix == ".toml":
        return _from_toml(path)
    if path.suffix == ".json":
        return from_plain(_read_json(path)["study"], str(path))
    if path.suffix != ".py" and not all(part.isidentifier() for part in place.split(".")):
        raise FileError(f"There is no study {written!r} (looked in {Path.cwd()}); give {FORMS}.")
    found = getattr(_module(path, place), name or NAME, None)
    if not isinstance(found, Study):
        raise InvalidSetting(
            f"{name or NAME} in {place} is {found!r}; let it be a plastic_env.study.sweep.Study, or name another: "
            f"{place}:NAME."
        )
    return found


def name_of(written: str) -> str:
    """What the folder of a study's results is called: the file or the last part of the module, and the object's name if
    it isn't `NAME`."""
    place, name = _split(written)
    stem = Path(place).stem if Path(place).suffix in _ENDINGS else place.rpartition(".")[2]
    return stem if name in ("", NAME) else f"{stem}-{name}"


def from_plain(plain: Mapping[str, Any], where: str) -> Study:
    """The study that a mapping describes, as a file holds it. where: what people call the file.

    Raises:
        UnknownName: a key that means nothing. InvalidSetting: a key that is missing, or a value that makes no sense.
    """
    for key in plain:
        look_up(dict.fromkeys(_KEYS), key, f"key of {where}")
    missing = [key for key in _NEEDED if key not in plain]
    if missing:
        raise InvalidSetting(f"{where} lacks {', '.join(missing)}; a study needs {', '.join(_NEEDED)}.")
    tune = dict(as_settings(plain.get("tune", {}), f"tune in {where}"))
    seeds = tune.pop("seeds", TUNE_SEEDS)
    return Study(**{**plain, "tune": tune, "tune_seeds": seeds})


def to_plain(study: Study) -> dict[str, Any]:
    """What `from_plain` makes this study of; what its tuning chose isn't part of it."""
    plain: dict[str, Any] = {
        "scenarios": list(study.scenarios),
        "methods": list(study.methods),
        "seeds": shortest(study.all_seeds),
        "settings": dict(study.settings),
        "axes": dict(study.axes),
    }
    if study.tune:
        plain["tune"] = {**dict(study.tune), "seeds": shortest(study.tuning_seeds)}
    return plain


def to_words(study: Study) -> list[str]:
    """The options of `plastic-env run` that describe this study."""
    words = ["--scenario", *study.scenarios, "--methods", *study.methods, "--seeds", seeds_word(study.all_seeds)]
    if study.settings:
        words += ["--set", *(f"{name}={value_word(value)}" for name, value in dict(study.settings).items())]
    for option, axes in (("--axis", dict(study.axes)), ("--tune", dict(study.tune))):
        words += (
            [option, *(f"{name}={','.join(map(value_word, values))}" for name, values in axes.items())] if axes else []
        )
    return [*words, "--tune-seeds", seeds_word(study.tuning_seeds)] if study.tune else words


def seeds_word(seeds: Sequence[int]) -> str:
    """Seeds as `--seeds` understands them, for which a number alone is how many."""
    found = shortest(seeds)
    if not isinstance(found, list):
        return str(found)
    return f"{seeds[0]}-{seeds[0]}" if len(seeds) == 1 else ",".join(map(str, found))


def value_word(value: object) -> str:
    """A value as `named_value` understands it."""
    if isinstance(value, str):
        return value if named_value(f"x={value}")[1] == value else repr(value)
    return repr(value).replace(" ", "")


def keep_study(study: Study, folder: Path) -> None:
    """Write into a results folder which study it is of, and by which code.

    Raises:
        FileError: it can't be written.
    """
    record = {"study": to_plain(study), "versions": Versions.here()._asdict()}
    write_atomically(folder / KEPT, lambda path: path.write_text(json.dumps(record, indent=2) + "\n"))


def kept_study(folder: Path) -> tuple[Study, Versions]:
    """The study that a results folder is of, and what made the results.

    Raises:
        FileError: the folder has no such record, or it can't be read.
    """
    if not (folder / KEPT).is_file():
        raise FileError(f"{folder} has no {KEPT}: it is no folder of results. `plastic-env run STUDY` makes one.")
    record = _read_json(folder / KEPT)
    try:
        versions = Versions(**record["versions"])
    except (KeyError, TypeError) as error:
        raise FileError(f"{folder / KEPT} is of another version; run the study again into another folder.") from error
    return from_plain(record["study"], str(folder / KEPT)), versions


def other_versions(folder: Path) -> str:
    """Why a folder's results aren't those of this code; "" if they are, or there is no record."""
    if not (folder / KEPT).is_file():
        return ""
    there, here = kept_study(folder)[1], Versions.here()
    if there == here:
        return ""
    return (
        f"{folder} holds results of plastic_env {there.plastic_env} (code {there.code}); this is {here.plastic_env} "
        f"(code {here.code}), whose results are other ones."
    )


def check_versions(folder: Path) -> None:
    """Raise `FileError` if a folder's results are those of other code, to which this one's don't belong."""
    why = other_versions(folder)
    if why:
        raise FileError(f"{why} {TO_DO}")


def replaced(study: Study, folder: Path) -> str:
    """What is to be said before `keep_study` replaces the record of another study; "" if it is of this one, or there is
    none."""
    why = unreadable(folder)
    if why or not (folder / KEPT).is_file() or to_plain(kept_study(folder)[0]) == to_plain(study):
        return why
    return f"{folder} was of another study; from now on it is of this one. Finished runs of both stay."


def unreadable(folder: Path) -> str:
    """What is to be said before `keep_study` replaces a record that can't be read; "" if it can, or there is none."""
    try:
        if (folder / KEPT).is_file():
            kept_study(folder)
    except PlasticEnvError:
        return f"{folder / KEPT} can't be read; it is written anew."
    return ""


def _split(written: str) -> tuple[str, str]:
    """The place of a study, and the name of the object there, or ""."""
    place, _, name = written.rpartition(":")
    return (place, name) if place and name.isidentifier() else (written, "")


def _from_toml(path: Path) -> Study:
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} can't be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting(f"{path} is no TOML: {error}.") from error
    return from_plain(plain, str(path))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["study"]["scenarios"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} can't be read ({error}); run the study again into another folder.") from error
    return record


def _module(path: Path, place: str) -> Any:
    if path.suffix == ".py":
        return load_file(path, "the study")
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise FileError(f"The module {place} can't be imported: {told(error)}; give {FORMS}.") from error
