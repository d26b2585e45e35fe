"""One group of runs, from nothing, or from its checkpoint, to the files that hold what was lived."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plastic_env.study.checkpoints import Checkpoint
from plastic_env.study.living import Lives
from plastic_env.study.results import write_failure, write_run
from plastic_env.study.sweep import Run


@dataclass(frozen=True)
class Report:
    """What became of a group.

    failures: what went wrong, by run id. notes: what else is to be said.
    """

    failures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_group(
    runs: Sequence[Run], folder: Path, overwrite: bool, checkpoint_minutes: float = float("inf")
) -> Iterator[int | Report]:
    """Live the lives of runs whose learners and episodes are equal, as one population, and store each.

    Yields learner-updates as they are done, and in the end what became of it.

    Those that are there already are left alone, unless `overwrite`. After every `checkpoint_minutes` all is kept in a
    file, from which the next attempt goes on, bit for bit.

    Raises:
        FileError: a file can't be written.
    """
    checkpoint = Checkpoint.of(runs, folder)
    if overwrite:
        checkpoint.remove()
    lives = checkpoint.restored(runs)
    if lives is None:
        lives = Lives(runs)
        lives.begin()
    yield int(lives.lifetime.position.sum())
    saved = time.monotonic()
    while lives.active:
        yield sum(lived.outcome.stop - lived.outcome.start for lived in lives.advance().values())
        if time.monotonic() - saved >= 60 * checkpoint_minutes:
            checkpoint.save(lives)
            saved = time.monotonic()
    _store(lives, folder, overwrite)
    checkpoint.remove()
    yield Report({runs[member].id: why for member, (why, _) in lives.failures.items()}, checkpoint.notes)


def _store(lives: Lives, folder: Path, overwrite: bool) -> None:
    """Write what has been lived, and what went wrong."""
    stacked = [[run.method_name, run.seed] for run in lives.runs]
    for member, run in enumerate(lives.runs):
        if run.path(folder).exists() and not overwrite:
            continue
        if member in lives.failures:
            write_failure(folder, run, *lives.failures[member])
        else:
            life = lives.lifetime
            live_slots = life.population.live_slots(member)
            write_run(folder, run, lives.decisions[member], stacked, life.streams[member], live_slots)
