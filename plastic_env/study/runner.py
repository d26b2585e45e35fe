"""Carrying out a study: what is finished is read, the rest is run, group by group, on as many cores as asked for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait as wait_for
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from plastic_env.env.encoding import Action, Codec
from plastic_env.env.episode import Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.rewards import online_accuracy
from plastic_env.errors import AgentError, FileError
from plastic_env.files import clear_unfinished, make_folder
from plastic_env.study.results import Decision, Result, read_run, write_run
from plastic_env.study.sweep import Run, Study

Answer = TypeVar("Answer")
Tick = Callable[[int], None]  # told of learner-updates as they are done


@dataclass(frozen=True)
class Finished:
    """A study's results by method, in the study's order, and what went wrong by method."""

    results: dict[str, list[Result]]
    failures: dict[str, str]


def run_study(
    study: Study, folder: Path, *, threads: int = 1, overwrite: bool = False, show_progress: bool = True
) -> Finished:
    """Run what isn't finished yet, and return all results.

    Args:
        folder: where results are; each run appears there, whole, when its group is done.
        threads: processes to use, one core each. Results don't depend on it.
        overwrite: run everything again.

    Raises:
        PlasticEnvError: a study that can't be run, or results that can't be read.
        KeyboardInterrupt: after the workers have been stopped; finished runs stay.
    """
    groups = study.groups()
    make_folder(folder)
    clear_unfinished(folder)
    present = [[None if overwrite else read_run(folder, run) for run in runs] for runs in groups]
    pending = [at for at, found in enumerate(present) if None in found]
    total = sum(len(groups[at]) * groups[at][0].scenario.stream(0).updates for at in pending)
    with tqdm(total=total, unit=" updates", unit_scale=True, disable=not (show_progress and pending)) as bar:
        if threads == 1 or len(pending) <= 1:
            failures = _run_here(groups, pending, folder, overwrite, bar.update)
        else:
            failures = _run_in_processes(study, groups, pending, folder, overwrite, threads, bar.update)
    results: dict[str, list[Result]] = {}
    for runs, found in zip(groups, present, strict=True):
        if runs[0].method_name not in failures:
            for run, known in zip(runs, found, strict=True):
                result = known or read_run(folder, run)
                if result is None:
                    raise FileError(f"{run.id}.parquet has vanished from {folder}; run again to make it anew.")
                results.setdefault(run.method_name, []).append(result)
    return Finished(results, failures)


def run_group(runs: list[Run], folder: Path, overwrite: bool, tick: Tick) -> None:
    """Live the lives of runs that differ in nothing but their seeds, as one population.

    Each is stored, but for those that are there already, unless `overwrite`.
    """
    lifetime = Lifetime(runs[0].scenario, runs[0].episode, len(runs))
    lives: list[list[Decision]] = [[] for _ in runs]
    for member, decision in live(runs, lifetime):
        lives[member].append(decision)
        tick(decision.outcome.stop - decision.outcome.start)
    seeds = [run.seed for run in runs]
    for member, run in enumerate(runs):
        if overwrite or not run.path(folder).exists():
            write_run(folder, run, lives[member], seeds, lifetime.streams[member])


def live(runs: list[Run], lifetime: Lifetime) -> Iterator[tuple[int, Decision]]:
    """Every decision of the runs' agents, by member of `lifetime`, as it has been carried out.

    Raises:
        AgentError: an agent went wrong.
    """
    codec = Codec(lifetime)
    agents = [run.method.make() for run in runs]
    for run, agent in zip(runs, agents, strict=True):
        _ask(run, lambda agent=agent, run=run: agent.reset(codec.spec, run.seed))  # type: ignore[misc]
    lifetime.begin({member: np.random.default_rng(run.seed) for member, run in enumerate(runs)})
    infos = [codec.info(member) for member in range(len(runs))]
    while not lifetime.over.all():
        requested, plans = {}, {}
        active = np.flatnonzero(~lifetime.over).tolist()
        seen = codec.observe_all(active)
        for row, member in enumerate(active):
            observation = {name: values[row] for name, values in seen.items()}
            act = partial(agents[member].act, observation, infos[member])
            requested[member], plans[member] = _decide(runs[member], act, codec, member)
        for member, outcome in lifetime.step(plans).items():
            infos[member] = codec.info(member, requested[member], outcome)
            yield member, Decision(requested[member], outcome, online_accuracy(outcome))


def _decide(run: Run, act: Callable[[], Action], codec: Codec, member: int) -> tuple[Plan, Plan]:
    return _ask(run, lambda: codec.decode(member, act()))


def _ask(run: Run, question: Callable[[], Answer]) -> Answer:
    """Let an agent answer; whatever goes wrong there carries its name."""
    try:
        return question()
    except (Exception, SystemExit) as error:
        raise AgentError(f"Agent {run.method_name!r} (seed {run.seed}): {type(error).__name__}: {error}") from error


def _run_here(groups: list[list[Run]], pending: list[int], folder: Path, overwrite: bool, tick: Tick) -> dict[str, str]:
    failures = {}
    for at in pending:
        try:
            run_group(groups[at], folder, overwrite, tick)
        except AgentError as error:
            failures[groups[at][0].method_name] = str(error)
    return failures


def _run_in_processes(
    study: Study,
    groups: list[list[Run]],
    pending: list[int],
    folder: Path,
    overwrite: bool,
    threads: int,
    tick: Tick,
) -> dict[str, str]:
    context = multiprocessing.get_context("spawn")
    ticks: SimpleQueue[int] = context.SimpleQueue()
    workers = min(threads, len(pending))
    others = set(multiprocessing.active_children())  # the caller's own
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(ticks,))
    failures = {}
    try:
        futures: dict[Future[None], int] = {
            pool.submit(_work, study, at, [run.id for run in groups[at]], folder, overwrite): at for at in pending
        }
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            while not ticks.empty():
                tick(ticks.get())
            for future in done:
                try:
                    future.result()
                except AgentError as error:
                    failures[groups[futures[future]][0].method_name] = str(error)
                except BrokenProcessPool as error:
                    raise FileError(
                        "A worker process died, perhaps for want of memory. Finished runs are kept: run the same "
                        "command again to go on, with fewer --threads if memory is short."
                    ) from error
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return failures


_ticks: SimpleQueue[int] | None = None  # of this worker process


def _start_worker(ticks: SimpleQueue[int]) -> None:
    global _ticks
    _ticks = ticks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then stops us
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(study: Study, at: int, ids: list[str], folder: Path, overwrite: bool) -> None:
    assert _ticks is not None
    runs = study.groups()[at]
    if [run.id for run in runs] != ids:
        raise AgentError(f"{runs[0].method_name!r} was changed while the study ran; run the same command again.")
    run_group(runs, folder, overwrite, _ticks.put)
