"""Where the groups of a study are run: here, in processes of their own, or on other machines. Results don't depend on
it.

A backend takes jobs, which any process can do wherever it is, and tells of what becomes of them: another kind of place
to run them is another function in `BACKENDS`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from plastic_env.study.groups import Report
from plastic_env.study.jobs import Backend, Job, Retrying, Tell, gathered
from plastic_env.study.on_ray import on_ray
from plastic_env.study.sweep import Cell, Run


def here(
    jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int | None, address: str | None
) -> None:
    """One job after the other, in this process."""
    for job in jobs:
        for message in job.do(groups[job.at]):
            tell(job, message)


def processes(
    jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int | None, address: str | None
) -> None:
    """So many processes, each of which does one job after the other. The job of one that dies is begun again once."""
    retrying = Retrying(jobs, groups, tell)
    waiting = retrying.waiting
    busy: dict[Connection, tuple[BaseProcess, Job]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < (workers or cores()):
                pipe, process = _start()
                _give(pipe, process, waiting.pop(), busy)
            for pipe in cast("list[Connection]", wait(list(busy))):
                process, job = busy[pipe]
                message = _receive(pipe)
                if isinstance(message, BaseException):
                    raise message
                if message is None:
                    del busy[pipe]
                    retrying.lost(job, _death(process))
                    continue
                if isinstance(message, Report):
                    _give(pipe, process, waiting.pop() if waiting else None, busy)
                retrying.tell(job, message)
    finally:
        for process, _ in busy.values():
            process.terminate()
        for process, _ in busy.values():
            process.join()


BACKENDS: dict[str, Backend] = {"here": here, "processes": processes, "ray": on_ray}


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        f"The process died (exit code {process.exitcode}), perhaps for want of memory; use fewer --threads if memory "
        "is short."
    )


def _work(pipe: Connection) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then stops us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    study, cells = None, list[Cell]()
    for job in _jobs(pipe):
        try:
            if job.study != study:
                study, cells = job.study, job.study.cells()
            for message in gathered(job.do(job.among(cells))):
                pipe.send(message)
        except Exception as error:
            error.__cause__ = None  # which may not be picklable
            pipe.send(error)
            return


def _jobs(pipe: Connection) -> Iterator[Job]:
    while (job := pipe.recv()) is not None:
        yield job


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
