"""What is to be done of a study, as any process can do it, and what is told meanwhile."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plastic_env.errors import AgentError, FileError
from plastic_env.study import groups as groupwork
from plastic_env.study.groups import Report
from plastic_env.study.results import is_stored, write_failure
from plastic_env.study.sweep import Cell, Run, Study, stacked

PATIENCE = 0.2  # seconds between messages of a worker about its progress
TRIES = 2  # how often a group is begun whose process or machine is lost

Message = int | Report  # learner-updates that are done; what became of a group, after which there is nothing more


@dataclass(frozen=True)
class Job:
    """One group of a study, as any process can run it.

    at: which group. ids: of its runs, as a check that both processes mean the same. folder: where results go.
    overwrite, checkpoint_minutes: see `run_group`.
    """

    study: Study
    at: int
    ids: tuple[str, ...]
    folder: Path
    overwrite: bool
    checkpoint_minutes: float

    def among(self, cells: Sequence[Cell]) -> list[Run]:
        """The group, among the cells of the study as another process has rebuilt them.

        Raises:
            AgentError: it isn't there, since an agent's file or the data are others now, or are others here.
        """
        groups = stacked(cells)
        runs = groups[self.at] if self.at < len(groups) else []
        if tuple(run.id for run in runs) == self.ids:
            return runs
        errors = "".join(f" {error}" for error in dict.fromkeys(cell.error for cell in cells if cell.error))
        raise AgentError(
            f"{self.ids[0]} is another run here than where the study was begun: the file of an agent was changed while "
            f"it ran, or data differ. Run the same command again, or bring the same data here.{errors}"
        )

    def do(self, runs: Sequence[Run]) -> Iterator[Message]:
        """Run the group; whatever goes wrong with it is reported, so that the others go on.

        Raises:
            FileError: results can't be written.
        """
        try:
            yield from groupwork.run_group(runs, self.folder, self.overwrite, self.checkpoint_minutes)
        except FileError:
            raise
        except Exception as error:
            yield self.failed(runs, f"{type(error).__name__}: {error}", traceback.format_exc())

    def failed(self, runs: Sequence[Run], why: str, trace: str = "") -> Report:
        """Note that none of the group's missing runs can be had; to be overwritten, all are missing."""
        missing = [run for run in runs if self.overwrite or not is_stored(self.folder, run)]
        for run in missing:
            write_failure(self.folder, run, why, trace)
        return Report({run.id: why for run in missing})


Tell = Callable[[Job, Message | str], None]  # told of what a job tells, and of what else is to be known of it


class Backend(Protocol):
    """A way to get jobs done."""

    def __call__(
        self, jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int | None, address: str | None
    ) -> None:
        """Do all jobs of a study with these groups.

        workers: cores to use; None for all there are. address: where they are, for backends that can be elsewhere.

        Raises:
            PlasticEnvError: what `Job.among` and `Job.do` raise, or there is no such place; nothing is left running
                then.
        """


class Retrying:
    """Passes on what jobs tell, and has those begun again whose process or machine is lost.

    Args:
        jobs: to be taken from `waiting`; those to be begun again are put back there.
    """

    def __init__(self, jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell) -> None:
        self.waiting = list(reversed(jobs))  # the last one is the next
        self._groups, self._tell = groups, tell
        self._losses, self._told = Counter[int](), Counter[int]()

    def tell(self, job: Job, message: Message) -> None:
        """Pass it on."""
        if isinstance(message, int):
            self._told[job.at] += message
        self._tell(job, message)

    def lost(self, job: Job, why: str) -> None:
        """A job won't tell any more: it is to be begun again, or failed if that has been tried."""
        self._tell(job, -self._told.pop(job.at, 0))
        self._losses[job.at] += 1
        if self._losses[job.at] < TRIES:
            self._tell(job, f"{job.ids[0]} and what is trained with it are begun again: {why}")
            self.waiting.append(job)
        else:
            self._tell(job, job.failed(self._groups[job.at], f"{why} It was tried {TRIES} times."))


def gathered(messages: Iterable[Message], patience: float = PATIENCE) -> Iterator[Message]:
    """The same, but learner-updates are told every so many seconds only."""
    done, told = 0, time.monotonic()
    for message in messages:
        if isinstance(message, int):
            done += message
            if time.monotonic() - told < patience:
                continue
        if done:
            yield done
            done, told = 0, time.monotonic()
        if not isinstance(message, int):
            yield message
