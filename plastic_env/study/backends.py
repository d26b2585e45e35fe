"""Where the groups of a study are run: here, or in processes of their own. Results don't depend on it.

A backend takes jobs, which any process can do wherever it is, and tells of what becomes of them: another kind of place
to run them is another function in `BACKENDS`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, cast

from plastic_env.errors import AgentError, FileError
from plastic_env.study import groups as groupwork
from plastic_env.study.groups import Report, Tick
from plastic_env.study.results import is_stored, write_failure
from plastic_env.study.sweep import Run, Study

PATIENCE = 0.2  # seconds between messages of a worker about its progress


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

    def do(self, runs: Sequence[Run], tick: Tick) -> Report:
        """Run the group; whatever goes wrong with it is reported, so that the others go on.

        Raises:
            FileError: results can't be written. AgentError: an agent's file was changed since the study began.
        """
        if tuple(run.id for run in runs) != self.ids:
            raise AgentError(f"{runs[0].method_name!r} was changed while the study ran; run the same command again.")
        try:
            return groupwork.run_group(runs, self.folder, self.overwrite, tick, self.checkpoint_minutes)
        except FileError:
            raise
        except Exception as error:
            return self.failed(runs, f"{type(error).__name__}: {error}", traceback.format_exc())

    def failed(self, runs: Sequence[Run], why: str, trace: str = "") -> Report:
        """Note that none of the group's missing runs can be had."""
        missing = [run for run in runs if not is_stored(self.folder, run)]
        for run in missing:
            write_failure(self.folder, run, why, trace)
        return Report({run.id: why for run in missing})


Tell = Callable[[Job, int | Report], None]  # told of a job's learner-updates as they are done, and of its end


class Backend(Protocol):
    """A way to get jobs done."""

    def __call__(self, jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int) -> None:
        """Do all jobs of a study with these groups, on so many cores.

        Raises:
            PlasticEnvError: what `Job.do` raises; nothing is left running then.
        """


def here(jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int) -> None:
    """One job after the other, in this process."""
    for job in jobs:
        tell(job, job.do(groups[job.at], lambda updates, job=job: tell(job, updates)))  # type: ignore[misc]


def processes(jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int) -> None:
    """So many processes, each of which does one job after the other. One that dies fails its job only."""
    waiting = list(reversed(jobs))
    busy: dict[Connection, tuple[BaseProcess, Job]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                pipe, process = _start()
                _give(pipe, process, waiting.pop(), busy)
            for pipe in cast("list[Connection]", wait(list(busy))):
                process, job = busy[pipe]
                message = _receive(pipe)
                if isinstance(message, BaseException):
                    raise message
                if message is None:
                    message = job.failed(groups[job.at], _death(process))
                    del busy[pipe]
                elif isinstance(message, Report):
                    _give(pipe, process, waiting.pop() if waiting else None, busy)
                tell(job, message)
    finally:
        for process, _ in busy.values():
            process.terminate()
        for process, _ in busy.values():
            process.join()


BACKENDS: dict[str, Backend] = {"here": here, "processes": processes}


def _start() -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # so that its death ends the pipe
    return ours, process


def _give(
    pipe: Connection, process: BaseProcess, job: Job | None, busy: dict[Connection, tuple[BaseProcess, Job]]
) -> None:
    """Give a worker its next job, or send it home."""
    with suppress(OSError):  # it is dead, as its end of the pipe will tell
        pipe.send(job)
    if job is not None:
        busy[pipe] = process, job
    else:
        del busy[pipe]
        process.join()


def _receive(pipe: Connection) -> Any:
    """A worker's next message; None if it is dead."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


def _death(process: BaseProcess) -> str:
    process.join()
    return (
        f"The process died (exit code {process.exitcode}), perhaps for want of memory. Run again to try once more, "
        "with fewer --threads if memory is short."
    )


def _work(pipe: Connection) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then stops us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    study, groups = None, list[list[Run]]()
    for job in _jobs(pipe):
        try:
            if job.study != study:
                study, groups = job.study, job.study.groups()
            pipe.send(job.do(groups[job.at], _gathered(pipe.send)))
        except Exception as error:
            error.__cause__ = None  # which may not be picklable
            pipe.send(error)
            return


def _jobs(pipe: Connection) -> Iterator[Job]:
    while (job := pipe.recv()) is not None:
        yield job


def _gathered(send: Callable[[int], None]) -> Tick:
    """Tells of progress every now and then only."""
    done, told = 0, time.monotonic()

    def tick(updates: int) -> None:
        nonlocal done, told
        done += updates
        if time.monotonic() - told > PATIENCE:
            send(done)
            done, told = 0, time.monotonic()

    return tick


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
