"""Carrying out a study: what is finished stays, the rest is run, group by group, on as many cores as asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plastic_env.errors import FileError, InvalidSetting, check_whole, look_up
from plastic_env.files import clear_unfinished
from plastic_env.study import on_ray
from plastic_env.study.backends import BACKENDS, cores
from plastic_env.study.groups import Report
from plastic_env.study.jobs import Job, Message
from plastic_env.study.lock import alone_in
from plastic_env.study.progress import Progress
from plastic_env.study.results import Result, is_stored, read_run
from plastic_env.study.sweep import Cell, Run, Study, stacked
from plastic_env.study.tracking import Sink
from plastic_env.study.tuning import choose

CHECKPOINT_MINUTES = 10.0


@dataclass(frozen=True)
class Running:
    """How a study is run, none of which its results depend on.

    threads: cores to use; None for all there are. backend: a name in `BACKENDS`; None for processes if there is more
    than one core to use. address: of the cluster, for the backend "ray". overwrite: run everything again.
    show_progress: tell on stderr. checkpoint_minutes: how often a group that takes long is kept, so that it can go on
    from there. sinks: other places to tell of finished runs.

    Raises:
        InvalidSetting, UnknownName: values outside of these.
    """

    threads: int | None = 1
    backend: str | None = None
    address: str | None = None
    overwrite: bool = False
    show_progress: bool = True
    checkpoint_minutes: float = CHECKPOINT_MINUTES
    sinks: tuple[Sink, ...] = ()

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_whole("threads", self.threads)
        if self.backend is not None:
            look_up(BACKENDS, self.backend, "backend")
        if self.backend == "ray":
            on_ray.imported()
        elif self.address is not None:
            raise InvalidSetting(f"The address {self.address!r} is of no use; it is for the backend ray.")
        if self.checkpoint_minutes < 0:
            raise InvalidSetting(f"checkpoint_minutes is {self.checkpoint_minutes}; give 0 or more.")


@dataclass(frozen=True)
class Finished:
    """What there is of a study once it has been run.

    study: with what its tuning chose. cells: its rows. folder: where results are. failed: why, by id of the runs that
        failed.
    """

    study: Study
    cells: tuple[Cell, ...]
    folder: Path
    failed: dict[str, str]

    def of(self, cell: Cell) -> list[Result]:
        """A cell's finished runs.

        Raises:
            FileError: one can't be read, or isn't there any more.
        """
        found = []
        for run in cell.runs:
            if run.id in self.failed:
                continue
            found.append(_read(run, self.folder))
        return found

    def on(self, scenario: str) -> dict[str, list[Result]]:
        """The finished runs on one scenario (its label) by method, in the study's order; methods without any are left
        out."""
        found = {cell.method: self.of(cell) for cell in self.cells if cell.scenario == scenario}
        return {method: results for method, results in found.items() if results}

    @property
    def results(self) -> dict[str, list[Result]]:
        """The finished runs by method, if there is one scenario only; none of a study without cells."""
        if not self.cells:
            return {}
        (scenario,) = self.scenarios
        return self.on(scenario)

    @property
    def scenarios(self) -> list[str]:
        """The labels of all scenarios, in the study's order."""
        return list(dict.fromkeys(cell.scenario for cell in self.cells))

    def reasons(self, scenario: str) -> list[str]:
        """Why runs on one scenario (its label) failed, or couldn't be begun; each reason once."""
        cells = [cell for cell in self.cells if cell.scenario == scenario]
        failed = [self.failed[run.id] for cell in cells for run in cell.runs if run.id in self.failed]
        return list(dict.fromkeys([*failed, *(cell.error for cell in cells if cell.error)]))

    @property
    def failures(self) -> dict[tuple[str, int], str]:
        """What went wrong, by method and seed; with several scenarios, on any of them."""
        found: dict[tuple[str, int], str] = {}
        for cell in self.cells:
            runs = {run.seed: self.failed.get(run.id, "") for run in cell.runs}
            reasons = runs or dict.fromkeys(self.study.all_seeds, cell.error)
            found |= {(cell.method, seed): why for seed, why in reasons.items() if why}
        return found


def run_study(study: Study, folder: Path | str, running: Running | None = None, **fields: Any) -> Finished:
    """Run what isn't finished yet.

    Args:
        folder: where results are; each run appears there, whole, when its group is done.
        running: how to; any of its fields may be given by name instead.

    Raises:
        PlasticEnvError: a study that can't be run, results that can't be read or written, or a folder in which another
            process is at work.
        KeyboardInterrupt: after the workers have been stopped; finished runs stay.
    """
    running = replace(running or Running(), **fields)
    folder, cells = Path(folder), study.cells()  # its mistakes come first
    with alone_in(folder):
        if study.tune and study.chosen is None:
            run_study(study.tuning, folder, running)
            study = choose(study, folder)
            cells = study.cells()
        clear_unfinished(folder)
        failed = _run(study, stacked(cells), folder, running)
    return Finished(study, tuple(cells), folder, failed)


def _run(study: Study, groups: Sequence[Sequence[Run]], folder: Path, running: Running) -> dict[str, str]:
    """Run all groups of which any run is missing; return why runs failed, by id."""
    missing = [[run for run in runs if running.overwrite or not is_stored(folder, run)] for runs in groups]
    jobs = [
        Job(study, at, tuple(run.id for run in groups[at]), folder, running.overwrite, running.checkpoint_minutes)
        for at, runs in enumerate(missing)
        if runs
    ]
    if not jobs:
        return {}
    failed: dict[str, str] = {}
    updates = sum(len(groups[job.at]) * groups[job.at][0].scenario.stream(0).updates for job in jobs)
    with Progress(folder, sum(map(len, missing)), updates, running.show_progress, running.sinks) as progress:

        def tell(job: Job, message: Message | str) -> None:
            if isinstance(message, int):
                progress.updates(message)
                return
            if isinstance(message, str):
                progress.note(message)
                return
            for note in message.notes:
                progress.note(note)
            for run in missing[job.at]:
                if run.id in message.failures:
                    failed[run.id] = message.failures[run.id]
                _tell_of(run, message, folder, progress)

        alone = len(jobs) == 1 or (running.threads or cores()) == 1
        backend = running.backend or ("here" if alone else "processes")
        BACKENDS[backend](jobs, groups, tell, running.threads, running.address)
    return failed


def _tell_of(run: Run, report: Report, folder: Path, progress: Progress) -> None:
    if run.id in report.failures:
        progress.failed(run, report.failures[run.id])
        return
    progress.finished(run, _read(run, folder))


def _read(run: Run, folder: Path) -> Result:
    """A result that is there, or was just now."""
    result = read_run(folder, run)
    if result is None:
        raise FileError(f"{run.id}.parquet has vanished from {folder}; run again to make it anew.")
    return result
