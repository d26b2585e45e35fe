"""Studies on many machines, by Ray.

pip install 'plastic_env[ray]'
plastic-env run study.toml --backend ray --address auto

Machines need no common disk: what a job is made of is sent, what it writes comes back and is written by the process
that runs the study. A job whose machine is lost is begun again on another, from its last checkpoint.
"""

from __future__ import annotations

import atexit
import os
import pickle
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from plastic_env.errors import BackendError, PlasticEnvError
from plastic_env.files import write_atomically
from plastic_env.study.checkpoints import Checkpoint
from plastic_env.study.description import Versions
from plastic_env.study.groups import Report
from plastic_env.study.jobs import Job, Message, Retrying, Tell, gathered
from plastic_env.study.parcels import Moved, lay, pack
from plastic_env.study.sweep import Cell, Run

PATIENCE = 1.0  # seconds between messages of a machine about its progress
LOCAL = "local"  # the address at which Ray is started on this machine alone
_TEMPORARY = "plastic_env-"  # start of the names of folders on machines

Files = Mapping[str, bytes | None]  # by name; None for one that is gone


@dataclass(frozen=True)
class News:
    """message: what a machine tells of its job. files: what has changed in its folder since it told last."""

    message: Message  #: of the job
    files: Files  #: that are new or others


def on_ray(
    jobs: Sequence[Job], groups: Sequence[Sequence[Run]], tell: Tell, workers: int | None, address: str | None
) -> None:
    """Jobs on the cores of a Ray cluster, or of one that is started on this machine, if there is no address."""
    versions = Versions.here()
    for job in jobs:
        if job.overwrite:
            Checkpoint.of(groups[job.at], job.folder).remove()
    retrying = Retrying(jobs, groups, tell)
    with connected(address) as ray:
        task = ray.remote(num_cpus=1, num_returns="streaming", max_retries=0)(_work)
        moved, files = (ray.put(pickle.dumps(part)) for part in pack(jobs[0].study))
        busy: dict[Any, Job] = {}  # by the stream of its news
        try:
            while retrying.waiting or busy:
                while retrying.waiting and (workers is None or len(busy) < workers):
                    job = retrying.waiting.pop()
                    order = pickle.dumps((job, _checkpoint(job, groups[job.at])))
                    busy[task.remote(tuple(versions), moved, files, order)] = job
                for stream in ray.wait(list(busy), num_returns=1)[0]:
                    job = busy[stream]
                    try:
                        news = ray.get(next(stream))
                    except ray.exceptions.RayTaskError as error:
                        raise _explained(error) from error
                    except ray.exceptions.RayError as error:
                        del busy[stream]
                        retrying.lost(job, f"Its machine or process was lost ({type(error).__name__}).")
                        continue
                    if isinstance(news.message, Report):
                        del busy[stream]
                    _take(news.files, groups[job.at], job)
                    retrying.tell(job, news.message)
        finally:
            for stream in busy:
                ray.cancel(stream)


def imported() -> Any:
    """The module ray.

    Raises:
        BackendError: it isn't installed.
    """
    try:
        import ray
    except ImportError as error:
        raise BackendError(
            f"ray can't be imported ({error}); install it with pip install 'plastic_env[ray]', or choose another "
            "--backend."
        ) from error
    return ray


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module ray, connected for as long as this takes; or longer, if it was before.

    Raises:
        BackendError: it isn't installed, or there is no cluster, and none can be started.
    """
    ray = imported()
    if ray.is_initialized():
        yield ray
        return
    place, named = _place(address)
    if "://" in place:
        raise BackendError(
            f"{named} is of Ray's client; run the study on a machine of the cluster, with --address auto "
            "(`ray job submit` does so from elsewhere)."
        )
    try:
        _check_answers(place)
        ray.init(place, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if place == LOCAL:
            raise BackendError(
                f"Ray can't be started on this machine ({error}); name a cluster with --address, or choose another "
                "--backend."
            ) from error
        raise BackendError(
            f"There is no Ray cluster at {named} ({error}). Start one: `ray start --head` on one machine "
            "and `ray start --address HOST:PORT` on the others; then run on one of them with --address auto."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _place(address: str | None) -> tuple[str, str]:
    """Where the cluster is, and how that was said."""
    if address:
        return address, f"--address {address}"
    kept = os.environ.get("RAY_ADDRESS") or LOCAL
    return kept, f"RAY_ADDRESS={kept}"


def _check_answers(address: str) -> None:
    """Raise `OSError` if nobody does; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _checkpoint(job: Job, runs: Sequence[Run]) -> dict[str, bytes]:
    """The file to go on from, if there is one."""
    path = Checkpoint.of(runs, job.folder).path
    return {path.name: path.read_bytes()} if path.exists() else {}


def _take(files: Files, runs: Sequence[Run], job: Job) -> None:
    """Write what a machine has written; of runs whose results are there already, nothing."""
    ends = [(run.path(job.folder), run.error_path(job.folder)) for run in runs]
    kept = {path for end in ends if end[0].exists() and not job.overwrite for path in end}
    others = dict(ends) | {error: result for result, error in ends}  # a run has one of the two
    for name, content in files.items():
        path = job.folder / name
        if path in kept:
            continue
        if content is None:
            path.unlink(missing_ok=True)
            continue
        write_atomically(path, lambda unfinished, content=content: unfinished.write_bytes(content))  # type: ignore[misc]
        if path in others:
            others[path].unlink(missing_ok=True)


def _explained(error: Any) -> PlasticEnvError:
    """What went wrong on a machine, beyond what jobs report."""
    if isinstance(error.cause, PlasticEnvError):
        return error.cause
    return BackendError(
        f"A machine of the cluster can't take part: {error}\nEach needs plastic_env {Versions.here().plastic_env}, and "
        "all that the agents import but for what is beside their files."
    )


def _work(versions: tuple[str, str], moved: bytes, files: bytes, order: bytes) -> Iterator[News]:
    """What a machine does: one job, in a folder of its own. All that is pickled is read once versions agree."""
    here = Versions.here()
    if tuple(here) != versions:
        raise BackendError(
            f"The machine {platform.node()} has plastic_env {here.plastic_env} (code {here.code}), but the study is "
            f"run with {versions[0]} (code {versions[1]}); install the same one everywhere."
        )
    job, kept = pickle.loads(order)
    try:
        runs = job.among(_cells(moved, _laid(files)))
    except PlasticEnvError as error:
        raise type(error)(f"On the machine {platform.node()}: {error}") from None
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY) as place:
        folder = Path(place)
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        known = _dates(folder)
        for message in gathered(replace(job, folder=folder, overwrite=False).do(runs), PATIENCE):
            before, known = known, _dates(folder)
            changed = {name for name in known.keys() | before.keys() if known.get(name) != before.get(name)}
            yield News(message, {name: (folder / name).read_bytes() if name in known else None for name in changed})


@lru_cache(1)
def _cells(moved: bytes, folder: Path) -> list[Cell]:
    """The study's cells, as this machine rebuilds them."""
    study: Moved = pickle.loads(moved)
    return study.arrived(folder).cells()


@lru_cache(1)
def _laid(files: bytes) -> Path:
    """The folder that these files have been laid in, once for all jobs and studies, as pickling their classes needs."""
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lay(pickle.loads(files), folder)
    return folder


def _dates(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
