"""What a results folder was to hold, by the study that it keeps: which runs are missing, which can't be run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plastic_env.errors import PlasticEnvError
from plastic_env.study.description import KEPT, Versions, kept_study
from plastic_env.study.sweep import Cell, Study
from plastic_env.study.tuning import chosen_if_done
from plastic_env.study.values import combinations, suffix

_SAME = ("scenario", "stream", "data", "method", "agent", "agent_source", "episode", "seed")


@dataclass(frozen=True)
class Gap:
    """Runs of one method on one scenario that are neither finished nor failed.

    seeds: of these. why: they can't be run, or "".
    """

    scenario: str
    method: str
    seeds: tuple[int, ...]
    why: str = ""


@dataclass(frozen=True)
class Planned:
    """A folder's study. problem: why it can't be told what is missing; "" if it can.

    gaps: what is missing. versions: of what made the results, or None if that isn't known. names: scenario and method
        of all its cells.
    """

    folder: Path
    study: Study | None
    versions: Versions | None
    names: frozenset[tuple[str, str]] = frozenset()
    gaps: tuple[Gap, ...] = ()
    problem: str = ""

    @property
    def tuned_on(self) -> frozenset[int]:
        """The seeds of its tuning."""
        return frozenset(self.study.tuning_seeds if self.study is not None and self.study.tune else ())


def planned(folder: Path, finished: Sequence[Mapping[str, Any]], failed: Sequence[Mapping[str, Any]]) -> Planned | None:
    """The study that `folder` keeps, and what of it is missing; None if it keeps none.

    Runs are known again by their settings, so that other versions of the project can tell, too.

    finished, failed: settings of the runs that the folder holds.
    """
    if not (folder / KEPT).is_file():
        return None
    study = versions = None
    try:
        study, versions = kept_study(folder)
        if versions == Versions.here():
            study = chosen_if_done(study, folder)
        cells = study.cells()
        names = frozenset((cell.scenario, cell.method) for cell in cells)
        tried = study.tuning.cells() if study.tune else []
        there = [*finished, *failed]
        cells = [replace(cell, error=_hopeless(cell, study, tried) or cell.error) for cell in cells]
        gaps = (*_gaps(tried, study.tuning_seeds, there), *_gaps(cells, study.all_seeds, there))
        return Planned(folder, study, versions, names, gaps)
    except PlasticEnvError as error:
        return Planned(folder, study, versions, problem=str(error))


def _hopeless(cell: Cell, study: Study, tried: Sequence[Cell]) -> str:
    """Why no candidate for a cell can be run; "" if one can."""
    errors = {(each.scenario, each.method): each.error for each in tried}
    candidates = combinations(dict(study.tune)) if tried else ()
    found = [errors[cell.scenario, cell.method + suffix(values)] for values in candidates]
    return found[0] if found and all(found) else ""


def _gaps(cells: Sequence[Cell], seeds: Sequence[int], there: Sequence[Mapping[str, Any]]) -> list[Gap]:
    names = {(known["scenario"], known["method"], known["seed"]) for known in there}
    runs = {_identity(known) for known in there}
    found = []
    for cell in cells:
        if cell.runs:
            left = [run.seed for run in cell.runs if _identity(run.settings) not in runs]
        else:  # it waits for its tuning, or can't be run here
            left = [seed for seed in seeds if (cell.scenario, cell.method, seed) not in names]
        if left:
            found.append(Gap(cell.scenario, cell.method, tuple(left), cell.error))
    return found


def _identity(settings: Mapping[str, Any]) -> str:
    return json.dumps([settings.get(name) for name in _SAME], sort_keys=True)
