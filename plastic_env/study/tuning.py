"""Tuning, alike for all methods: candidates are compared by TAOA on seeds of their own, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from plastic_env.study.results import read_run
from plastic_env.study.sweep import Cell, Chosen, Study
from plastic_env.study.values import combinations, suffix


def chosen_if_done(study: Study, folder: Path) -> Study:
    """With what its tuning found, if all runs of the tuning have ended, well or not; else the study as it is.

    Raises:
        FileError: a result can't be read.
    """
    tried = [run for cell in study.tuning.cells() for run in cell.runs] if study.tune else []
    done = all(run.path(folder).exists() or run.error_path(folder).exists() for run in tried)
    return choose(study, folder) if study.tune and done else study


def choose(study: Study, folder: Path) -> Study:
    """The study with what its tuning found: in each cell the candidate of the highest mean TAOA, of equals the first.

    Candidates of which any run is missing are left out.

    Raises:
        FileError: a result can't be read.
    """
    tried = {(cell.scenario, cell.method): cell for cell in study.tuning.cells()}
    chosen = []
    for cell in study.cells():
        best: Chosen | None = None
        for values in combinations(dict(study.tune)):
            score = _taoa(tried[cell.scenario, cell.method + suffix(values)], folder)
            if score is not None and (best is None or score > best.taoa):
                best = Chosen(cell.scenario, cell.method, tuple(values.items()), score)
        if best is not None:
            chosen.append(best)
    return replace(study, chosen=tuple(chosen))


def _taoa(cell: Cell, folder: Path) -> float | None:
    """A candidate's mean over all seeds, or None if a run is missing."""
    found = [read_run(folder, run) for run in cell.runs]
    scores = [result.taoa() for result in found if result is not None]
    return float(np.mean(scores)) if scores and len(scores) == len(found) else None
