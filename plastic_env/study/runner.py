"""Carrying out a study: what is finished is read, the rest is run, group by group, on as many cores as asked for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
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

from plastic_env.env.encoding import Codec, Observation
from plastic_env.env.episode import Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.rewards import online_accuracy
from plastic_env.errors import AgentError, FileError
from plastic_env.files import clear_unfinished, make_folder
from plastic_env.study.results import Decision, Result, read_run, write_failure, write_run
from plastic_env.study.sweep import Run, Study

Answer = TypeVar("Answer")
Tick = Callable[[int], None]  # told of learner-updates as they are done
Failures = dict[tuple[str, int], str]


@dataclass(frozen=True)
class Finished:
    """A study's results by method, in the study's order, and what went wrong, by method and seed."""

    results: dict[str, list[Result]]
    failures: Failures


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
        for run, known in zip(runs, found, strict=True):
            if (run.method_name, run.seed) in failures:
                continue
            result = known or read_run(folder, run)
            if result is None:
                raise FileError(f"{run.id}.parquet has vanished from {folder}; run again to make it anew.")
            results.setdefault(run.method_name, []).append(result)
    return Finished(results, failures)


def run_group(runs: list[Run], folder: Path, overwrite: bool, tick: Tick) -> Failures:
    """Live the lives of runs that differ in nothing but their seeds and starts, as one population.

    Each is stored, but for those that are there already, unless `overwrite`. An agent that raises, or asks for what
    can't be done, ends its own run only; what went wrong is returned.
    """
    lifetime = Lifetime(runs[0].scenario, runs[0].episode, len(runs))
    lives: list[list[Decision]] = [[] for _ in runs]
    failures: dict[int, AgentError] = {}
    for member, lived in live(runs, lifetime):
        if isinstance(lived, AgentError):
            failures[member] = lived
            continue
        lives[member].append(lived)
        tick(lived.outcome.stop - lived.outcome.start)
    seeds = [run.seed for run in runs]
    for member, run in enumerate(runs):
        if member in failures:
            cause = failures[member].__cause__
            write_failure(folder, run, str(failures[member]), "".join(traceback.format_exception(cause)))
        elif overwrite or not run.path(folder).exists():
            live_slots = lifetime.population.live_slots(member)
            write_run(folder, run, lives[member], seeds, lifetime.streams[member], live_slots)
    return {(runs[member].method_name, runs[member].seed): str(error) for member, error in failures.items()}


def live(runs: list[Run], lifetime: Lifetime) -> Iterator[tuple[int, Decision | AgentError]]:
    """Every decision of the runs' agents, by member of `lifetime`, as it has been carried out.

    Where an agent goes wrong, the error that says so, caused by its own, is the last that comes of its member.
    """
    codec = Codec(lifetime)
    agents = [run.method.make() for run in runs]
    rngs = {member: np.random.default_rng(run.seed) for member, run in enumerate(runs)}
    lifetime.begin(rngs, {member: run.start for member, run in enumerate(runs)})
    infos = [codec.info(member) for member in range(len(runs))]
    failures: dict[int, AgentError] = {}

    def ask(member: int, question: Callable[[], Answer]) -> Answer | None:
        try:
            return question()
        except (Exception, SystemExit) as error:
            name, seed = runs[member].method_name, runs[member].seed
            failures[member] = AgentError(f"Agent {name!r} (seed {seed}): {type(error).__name__}: {error}")
            failures[member].__cause__ = error
            return None

    def decide(member: int, observation: Observation) -> tuple[Plan, Plan]:
        requested, plan = codec.decode(member, agents[member].act(observation, infos[member]))
        lifetime.check(member, plan)
        return requested, plan

    for member, run in enumerate(runs):
        ask(member, partial(agents[member].reset, codec.spec, run.seed))
    while True:
        active = [m for m in np.flatnonzero(~lifetime.over).tolist() if m not in failures]
        if not active:
            break
        seen = codec.observe_all(active)
        decided = {}
        for row, member in enumerate(active):
            answer = ask(member, partial(decide, member, {name: values[row] for name, values in seen.items()}))
            if answer is not None:
                decided[member] = answer
        for member, outcome in lifetime.step({m: plan for m, (_, plan) in decided.items()}).items():
            requested = decided[member][0]
            infos[member] = codec.info(member, requested, outcome)
            yield member, Decision(requested, outcome, online_accuracy(outcome))
    yield from failures.items()


def _run_here(groups: list[list[Run]], pending: list[int], folder: Path, overwrite: bool, tick: Tick) -> Failures:
    failures: Failures = {}
    for at in pending:
        failures |= run_group(groups[at], folder, overwrite, tick)
    return failures


def _run_in_processes(
    study: Study,
    groups: list[list[Run]],
    pending: list[int],
    folder: Path,
    overwrite: bool,
    threads: int,
    tick: Tick,
) -> Failures:
    context = multiprocessing.get_context("spawn")
    ticks: SimpleQueue[int] = context.SimpleQueue()
    workers = min(threads, len(pending))
    others = set(multiprocessing.active_children())  # the caller's own
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(ticks,))
    failures: Failures = {}
    try:
        futures: dict[Future[Failures], int] = {
            pool.submit(_work, study, at, [run.id for run in groups[at]], folder, overwrite): at for at in pending
        }
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            while not ticks.empty():
                tick(ticks.get())
            for future in done:
                try:
                    failures |= future.result()
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


def _work(study: Study, at: int, ids: list[str], folder: Path, overwrite: bool) -> Failures:
    assert _ticks is not None
    runs = study.groups()[at]
    if [run.id for run in runs] != ids:
        raise AgentError(f"{runs[0].method_name!r} was changed while the study ran; run the same command again.")
    return run_group(runs, folder, overwrite, _ticks.put)
