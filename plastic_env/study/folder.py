"""A folder of results, read without knowing the study that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plastic_env.agents import METHODS
from plastic_env.errors import FileError
from plastic_env.study.results import Result, read_result

NEEDED = ("scenario", "stream", "method", "seed", "updates", "shifts", "scored", "episode")
_ERRORS = ".error.json"


@dataclass(frozen=True)
class Failure:
    """A run that has no result: what went wrong, and where in the code."""

    scenario: str
    method: str
    seed: int
    why: str
    trace: str


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    results: by scenario and method, one for each seed. Methods come in the order of the project's own list; those that
        some scenario lacks come last, so that the others have the same place everywhere. A scenario that was run with
        several settings counts as several, named by them.
    failures: of runs without a result.
    """

    results: Mapping[str, Mapping[str, Sequence[Result]]]
    failures: Sequence[Failure]

    @property
    def methods(self) -> tuple[str, ...]:
        """All that have a result anywhere, in order."""
        return tuple(dict.fromkeys(name for found in self.results.values() for name in found))


def read_folder(folder: Path) -> Folder:
    """All finished runs in `folder` or, if none is right inside of it, in the folders that are.

    What is being written just now is left alone.

    Raises:
        FileError: no such folder, no result in it, a file that is none, or two results of one run.
    """
    paths = _inside(folder, "*.parquet")
    if not paths:
        raise FileError(
            f"There is no result (*.parquet) in {folder}; give the folder that `plastic-env compare` wrote to (--out)."
        )
    results = {path: _checked(path, read_result(path)) for path in paths}
    failed = {path: _failure(path) for path in _inside(folder, f"*{_ERRORS}")}
    labels = _labels(
        [*(result.settings for result in results.values()), *(record["settings"] for record in failed.values())]
    )
    found: dict[tuple[str, str, int], list[tuple[Path, Result]]] = {}
    for path, result in results.items():
        found.setdefault(_key(result.settings, labels), []).append((path, result))
    twice = {key: both for key, both in found.items() if len(both) > 1}
    if twice:
        raise _refused(twice)
    failures = [
        Failure(*_key(record["settings"], labels), str(record["error"]), str(record.get("traceback", "")))
        for record in failed.values()
        if _key(record["settings"], labels) not in found  # else it has succeeded since, with other settings
    ]
    return Folder(_sorted({key: result for key, [(_, result)] in found.items()}), sorted(failures, key=_order_of))


def _inside(folder: Path, pattern: str) -> list[Path]:
    """Visible files: what is being written has a hidden name."""
    if not folder.is_dir():
        raise FileError(f"There is no folder {folder}; give the one that `plastic-env compare` wrote to (--out).")
    found = list(folder.glob(pattern)) if any(folder.glob("*.parquet")) else list(folder.glob(f"*/{pattern}"))
    return sorted(path for path in found if not path.name.startswith("."))


def _checked(path: Path, result: Result) -> Result:
    missing = [name for name in NEEDED if name not in result.settings]
    if missing or not result.rows.get("stop"):
        raise FileError(f"{path} holds no run ({', '.join(missing) or 'rows'} missing); move it to another folder.")
    return result


def _failure(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        known = (
            all(name in record["settings"] for name in ("scenario", "stream", "method", "seed")) and "error" in record
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} can't be read ({error}); remove it.") from error
    if not known:
        raise FileError(f"{path} doesn't say which run failed and why; remove it.")
    return record


def _labels(settings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A name for each scenario with its settings, by what `_world` says: its own, and what else tells it apart."""
    worlds: dict[str, dict[str, dict[str, Any]]] = {}
    for known in settings:
        worlds.setdefault(known["scenario"], {})[_world(known)] = {**known["stream"], "data digest": known.get("data")}
    labels = {}
    for name, variants in worlds.items():
        keys = dict.fromkeys(key for values in variants.values() for key in values)
        varied = [key for key in keys if len({_plain(values.get(key)) for values in variants.values()}) > 1]
        for world, values in variants.items():
            which = ", ".join(f"{key}={values.get(key)}" for key in varied)
            labels[world] = f"{name} ({which})" if which else name
    return labels


def _world(settings: Mapping[str, Any]) -> str:
    return _plain([settings["scenario"], settings["stream"], settings.get("data")])


def _key(settings: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, str, int]:
    return labels[_world(settings)], str(settings["method"]), int(settings["seed"])


def _plain(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _refused(twice: Mapping[tuple[str, str, int], Sequence[tuple[Path, Result]]]) -> FileError:
    """Of runs that several files hold, the first is told of."""
    (scenario, method, seed), [(path, one), (other_path, other), *_] = next(iter(twice.items()))
    names = sorted({*one.settings, *other.settings} - {"id"})
    differ = [name for name in names if one.settings.get(name) != other.settings.get(name)]
    others = f" So it is with {len(twice) - 1} more runs." if len(twice) > 1 else ""
    return FileError(
        f"{path} and {other_path} both hold {method} with seed {seed} on {scenario}; they differ in "
        f"{', '.join(differ) or 'nothing'}.{others} Keep one of each, or both in folders of their own."
    )


def _sorted(found: Mapping[tuple[str, str, int], Result]) -> dict[str, dict[str, list[Result]]]:
    scenarios = sorted({scenario for scenario, _, _ in found}, key=_natural)
    everywhere = set.intersection(*({m for s, m, _ in found if s == scenario} for scenario in scenarios))
    methods = sorted({m for _, m, _ in found}, key=lambda name: (name not in everywhere, *_rank(name)))
    ordered: dict[str, dict[str, list[Result]]] = {scenario: {} for scenario in scenarios}
    for scenario in scenarios:
        for method in methods:
            seeds = sorted(seed for s, m, seed in found if (s, m) == (scenario, method))
            if seeds:
                ordered[scenario][method] = [found[scenario, method, seed] for seed in seeds]
    return ordered


def _rank(method: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Place among the project's methods, and among what is called alike."""
    known, base = list(METHODS), method.partition("+")[0]
    return (known.index(base) if base in known else len(known)), _natural(method)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts 5 before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def _order_of(failure: Failure) -> tuple[Any, ...]:
    return _natural(failure.scenario), _rank(failure.method), failure.seed
