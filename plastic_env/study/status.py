"""How far a study is: of each cell, how many runs are done, failed and missing, and why runs failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from plastic_env.errors import FileError
from plastic_env.study.results import is_stored, read_failure
from plastic_env.study.sweep import Cell, Run, Study
from plastic_env.study.text import aligned
from plastic_env.study.tuning import chosen_if_done


@dataclass(frozen=True)
class CellStatus:
    """Runs of one cell.

    scenario, method: the cell's labels. done, missing: how many there are, and how many are yet to be done.
    failures: why others failed, an entry per run.
    """

    scenario: str
    method: str
    done: int
    missing: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """Of a whole study.

    cells: row by row. other: results in its folder that are none of its own.
    """

    cells: tuple[CellStatus, ...]
    other: int

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return sum(len(cell.failures) for cell in self.cells)

    @property
    def missing(self) -> int:
        """How many runs are yet to be done."""
        return sum(cell.missing for cell in self.cells)

    @property
    def text(self) -> str:
        """For people: a table, why runs failed, and what else there is."""
        rows = [("scenario", "method", "done", "failed", "missing")]
        for cell in self.cells:
            rows.append((cell.scenario, cell.method, str(cell.done), str(len(cell.failures)), str(cell.missing)))
        lines = [aligned(rows, left=2), *(line for cell in self.cells for line in _reasons(cell))]
        if self.other:
            lines.append(
                f"{self.other} other results are in the folder: of other settings, seeds or versions, or tickets."
            )
        return "\n".join(lines)


def status(study: Study, folder: Path) -> Status:
    """How far a study is, the runs of its tuning included.

    Raises:
        PlasticEnvError: a study that can't be run.
    """
    tuning = study.tuning.cells() if study.tune else []
    tried = [_of(cell, folder, len(study.tuning_seeds)) for cell in tuning]
    cells = chosen_if_done(study, folder).cells()
    found = [_of(cell, folder, len(study.all_seeds)) for cell in cells]
    own = {run.path(folder).name for cell in (*tuning, *cells) for run in cell.runs}
    other = sum(path.name not in own for path in folder.glob("*.parquet"))
    return Status((*tried, *found), other)


def _of(cell: Cell, folder: Path, seeds: int) -> CellStatus:
    if cell.error:
        return CellStatus(cell.scenario, cell.method, 0, 0, (cell.error,) * seeds)
    stored = {run.id: _stored(run, folder) for run in cell.runs}
    done = sum(found is True for found in stored.values())
    damaged = [found for found in stored.values() if isinstance(found, str)]
    failures = [read_failure(folder, run) for run in cell.runs if stored[run.id] is False]
    reasons = (*damaged, *(why for why in failures if why is not None))
    return CellStatus(cell.scenario, cell.method, done, seeds - done - len(reasons), reasons)


def _stored(run: Run, folder: Path) -> bool | str:
    """Whether the result is there, or what is wrong with it."""
    try:
        return is_stored(folder, run)
    except FileError as error:
        return str(error)


def _reasons(cell: CellStatus) -> list[str]:
    """Each once, with how many runs it stopped."""
    counted = Counter(cell.failures)
    return [f"{cell.method} on {cell.scenario}, {runs} failed: {why}" for why, runs in counted.items()]
