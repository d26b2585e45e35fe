"""A folder of results, read as it is: whoever made it, whatever is wrong with some of its files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plastic_env
from plastic_env.agents import METHODS
from plastic_env.errors import FileError
from plastic_env.study import measures
from plastic_env.study.labels import Labels, Place
from plastic_env.study.planned import Planned, planned
from plastic_env.study.results import ByScenario, Result, read_result

KINDS = ("results", "tickets", "tuning")  # of runs
NEEDED = ("scenario", "stream", "method", "agent", "seed", "updates", "shifts", "scored", "episode")
_COLUMNS = (
    *("start", "stop", "accuracy", "tests", "live", "macs", "diverged", "dormant", "age", "comparable"),
    *("log_gradient_parity", "grow", "prune", "recycle", "rewind", "reset"),
)
_MEASURES = (measures.curves, measures.since_shift, measures.river, measures.survival, measures.spending)
_ERRORS = ".error.json"
MADE_BY = "`plastic-env run` or `compare`"


@dataclass(frozen=True)
class Failure:
    """A run that has no result.

    scenario, method, seed: which run. why: what went wrong. trace: where in the code. kind: one of `KINDS`.
    """

    scenario: str
    method: str
    seed: int
    why: str
    trace: str
    kind: str = "results"


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    results: of what was asked. tickets: of networks that were trained anew. tuning: of candidates.
        Methods come in the order of the project's own list; those that some scenario lacks come last, so that the
        others have the same place everywhere. A scenario or a method that was run with several settings counts as
        several, named by them.
    failures: of runs without a result. left_out: which files were not read, why, and what to do.
    planned: the studies that were to be run, and what of them is missing.
    """

    results: ByScenario
    failures: Sequence[Failure] = ()
    tickets: ByScenario = field(default_factory=dict)
    tuning: ByScenario = field(default_factory=dict)
    left_out: Sequence[str] = ()
    planned: Sequence[Planned] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """All that have a result anywhere, in order."""
        return tuple(dict.fromkeys(name for found in self.results.values() for name in found))


def read_folder(folder: Path) -> Folder:
    """All finished runs in `folder` or, if there is nothing right inside of it, in the folders that are.

    What is being written just now is left alone. Of runs that are there more than once, by several versions, one is
    taken: that of the version that `study.json` names, or the latest.

    Raises:
        FileError: no such folder, or no result in it that can be read.
    """
    found = _Files.of(folder)
    labels = Labels([*(result.settings for _, result in found.results), *(r["settings"] for r in found.failures)])
    once: dict[Place, tuple[Path, Result]] = {}
    for path, result in found.results:  # the better ones come last
        place = labels.place(result.settings)
        if place in once:
            found.left_out.append(_twice(once[place], (path, result), place))
        once[place] = path, result
    kinds: dict[str, dict[Place, Result]] = {kind: {} for kind in KINDS}
    for place, (_, result) in once.items():
        kinds[found.kind(result.settings)][place] = result
    failed = {labels.place(record["settings"]): record for record in found.failures}
    failures = [
        Failure(*place, str(record["error"]), str(record.get("traceback", "")), found.kind(record["settings"]))
        for place, record in failed.items()
        if place not in once  # else it has succeeded since
    ]
    if not kinds["results"]:
        raise FileError(_nothing(folder, found, failures, len(once)))
    return Folder(
        failures=sorted(failures, key=_order_of),
        left_out=found.left_out,
        planned=found.planned,
        **{kind: _sorted(results) for kind, results in kinds.items()},
    )


@dataclass
class _Files:
    """What can be read, before it is put in order.

    results: files and what they hold, the better ones last. failures: records of what went wrong, the newest last.
    """

    results: list[tuple[Path, Result]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    planned: list[Planned] = field(default_factory=list)
    tuned_on: set[int] = field(default_factory=set)  # seeds

    @staticmethod
    def of(folder: Path) -> _Files:
        found = _Files()
        for place in _folders(folder):
            found._read(place)
        return found

    def _read(self, folder: Path) -> None:
        results, failures = [], []
        for path in _visible(folder, "*.parquet"):
            try:
                results.append((path, _checked(path)))
            except FileError as error:
                self.left_out.append(str(error))
        for path in _visible(folder, f"*{_ERRORS}"):
            try:
                failures.append((path.stat().st_mtime, _failure(path)))
            except FileError as error:
                self.left_out.append(str(error))
        self.failures += [record for _, record in sorted(failures, key=lambda pair: pair[0])]
        settings = [result.settings for _, result in results]
        plan = planned(folder, settings, [record["settings"] for _, record in failures])
        if plan is not None:
            self.planned.append(plan)
            self.tuned_on |= plan.tuned_on
        self.tuned_on |= {seed for known in settings for seed in (known.get("tuned") or {}).get("seeds", ())}
        self.results += sorted(results, key=lambda pair: _rank_of(pair, plan))

    def kind(self, settings: Mapping[str, Any]) -> str:
        """Of which of the `KINDS` a run is."""
        if (settings.get("start") or {}).get("live_slots"):
            return "tickets"
        return "tuning" if settings["seed"] in self.tuned_on and not settings.get("tuned") else "results"


def _folders(folder: Path) -> list[Path]:
    """The folder itself, or those within that hold results."""
    if not folder.is_dir():
        raise FileError(f"There is no folder {folder}; give the one that {MADE_BY} wrote to (--out).")
    if _visible(folder, "*.parquet") or _visible(folder, f"*{_ERRORS}"):
        return [folder]
    return sorted({path.parent for path in _visible(folder, "*/*.parquet")})


def _visible(folder: Path, pattern: str) -> list[Path]:
    """What is being written has a hidden name."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def _checked(path: Path) -> Result:
    """A result that all numbers of a report can be had of.

    Raises:
        FileError: it is none.
    """
    result = read_result(path)
    if not isinstance(result.settings, dict) or "method" not in result.settings:
        raise FileError(f"{path} holds no run; move it to another folder.")
    there, here = result.settings.get("version", "unknown"), plastic_env.__version__
    missing = [
        *(name for name in NEEDED if name not in result.settings),
        *(name for name in _COLUMNS if name not in result.rows),
    ]
    if missing:
        raise FileError(
            f"{path} is of plastic_env {there}, and lacks {', '.join(missing)}, which {here} needs. Make the report "
            "with that version, or remove the file and run again."
        )
    if not result.rows["stop"]:
        raise FileError(f"{path} holds a run of no step; remove it, and run again.")
    try:
        Labels([result.settings]).place(result.settings)
        result.test_accuracy()
        for measure in _MEASURES:
            measure([result])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FileError(
            f"{path} holds what can't be read ({type(error).__name__}: {error}): it is damaged, or of another version "
            f"({there}; this is {here}). Remove it, and run again."
        ) from error
    return result


def _failure(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["error"]
        Labels([record["settings"]]).place(record["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} doesn't say which run failed and why ({error}); remove it.") from error
    return record


def _rank_of(found: tuple[Path, Result], plan: Planned | None) -> tuple[bool, float]:
    """Of two results of one run, the one that counts has the higher one."""
    path, result = found
    made_by = (result.settings.get("version"), result.settings.get("code"))
    return plan is not None and made_by == plan.versions, path.stat().st_mtime


def _twice(one: tuple[Path, Result], other: tuple[Path, Result], place: Place) -> str:
    """Of a result that is left out, because there is a better one."""
    (path, left), (other_path, taken) = one, other
    names = sorted({*left.settings, *taken.settings} - {"id", "stacked", "live_slots"})
    differ = [name for name in names if left.settings.get(name) != taken.settings.get(name)]
    scenario, method, seed = place
    return (
        f"{path} and {other_path.name} both hold {method} with seed {seed} on {scenario}; they differ in "
        f"{', '.join(differ) or 'nothing'}. The latter counts: remove the former, or move it to a folder of its own."
    )


def _nothing(folder: Path, found: _Files, failures: Sequence[Failure], others: int) -> str:
    """Why there is nothing to report, and what to do."""
    if failures:
        return f"No run in {folder} has finished, and {len(failures)} failed: {failures[0].why}"
    if others:
        return f"{folder} holds only runs of a tuning, or tickets; `plastic-env resume {folder}` runs the rest."
    if found.left_out:
        return f"No result in {folder} can be read. {found.left_out[0]}"
    return f"There is no result (*.parquet) in {folder}; give the folder that {MADE_BY} wrote to (--out)."


def _sorted(found: Mapping[Place, Result]) -> dict[str, dict[str, list[Result]]]:
    scenarios = sorted({scenario for scenario, _, _ in found}, key=_natural)
    by_cell: dict[tuple[str, str], dict[int, Result]] = {}
    for (scenario, method, seed), result in found.items():
        by_cell.setdefault((scenario, method), {})[seed] = result
    here = [{method for where, method in by_cell if where == scenario} for scenario in scenarios]
    everywhere = set.intersection(*here) if here else set()
    methods = sorted(set().union(*here), key=lambda name: (name not in everywhere, *_rank(name)))
    return {
        scenario: {
            method: [by_cell[scenario, method][seed] for seed in sorted(by_cell[scenario, method])]
            for method in methods
            if (scenario, method) in by_cell
        }
        for scenario in scenarios
    }


def _rank(method: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Place among the project's methods, and among what is called alike."""
    known, base = list(METHODS), re.split(r"[+/ ]", method)[0]
    return (known.index(base) if base in known else len(known)), _natural(method)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts 5 before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def _order_of(failure: Failure) -> tuple[Any, ...]:
    return _natural(failure.scenario), _rank(failure.method), failure.seed
