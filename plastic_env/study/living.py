"""One group of runs: their lives as one population, from the first decision to the files that hold what they did."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from plastic_env.env.encoding import Codec, Observation
from plastic_env.env.episode import Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.rewards import online_accuracy
from plastic_env.study.checkpoints import Checkpoint
from plastic_env.study.results import Decision, write_failure, write_run
from plastic_env.study.sweep import Run

Answer = TypeVar("Answer")
Tick = Callable[[int], None]  # told of learner-updates as they are done


class Failure(NamedTuple):
    """What went wrong with a run: for people, and the traceback."""

    why: str
    trace: str


@dataclass(frozen=True)
class Report:
    """What became of a group: what went wrong, by run id, and what else is to be said of it."""

    failures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class Lives:
    """The lives of runs with equal learners and episodes, up to the present: all that decides how they go on.

    agents: one per run. infos: what each will be told next. decisions: those of each so far. failures: by member.
    """

    lifetime: Lifetime
    agents: list[Any]
    infos: list[dict[str, Any]]
    decisions: list[list[Decision]]
    failures: dict[int, Failure]

    @staticmethod
    def of(runs: Sequence[Run]) -> Lives:
        """Before the first decision; nothing has begun."""
        lifetime = Lifetime(runs[0].scenario, runs[0].episode, len(runs))
        return Lives(lifetime, [run.method.make() for run in runs], [{} for _ in runs], [[] for _ in runs], {})


def run_group(
    runs: Sequence[Run], folder: Path, overwrite: bool, tick: Tick, checkpoint_minutes: float = float("inf")
) -> Report:
    """Live the lives of runs whose learners and episodes are equal, as one population, and store each.

    Those that are there already are left alone, unless `overwrite`. An agent that raises, or asks for what can't be
    done, ends its own run only. After every `checkpoint_minutes` all is kept in a file, from which the next attempt goes
    on, bit for bit.

    Raises:
        FileError: a file can't be written.
    """
    checkpoint = Checkpoint.of(runs, folder)
    if overwrite:
        checkpoint.remove()
    lives = checkpoint.restored(partial(Lives.of, runs))
    group = _Group(runs, lives or Lives.of(runs))
    if lives is None:
        lives = group.begin()
    else:
        tick(int(lives.lifetime.position.sum()))
    saved = time.monotonic()
    while group.advance(tick):
        if time.monotonic() - saved >= 60 * checkpoint_minutes:
            checkpoint.save(lives)
            saved = time.monotonic()
    stacked = [[run.method_name, run.seed] for run in runs]
    for member, run in enumerate(runs):
        if member not in lives.failures and (overwrite or not run.path(folder).exists()):
            write_run(folder, run, lives.decisions[member], stacked, lives.lifetime.streams[member])
    for member, failure in lives.failures.items():
        write_failure(folder, runs[member], *failure)
    checkpoint.remove()
    return Report({runs[member].id: failure.why for member, failure in lives.failures.items()}, checkpoint.notes)


class _Group:
    """Lets lives go on."""

    def __init__(self, runs: Sequence[Run], lives: Lives) -> None:
        self.runs, self.lives = runs, lives
        self.codec = Codec(lives.lifetime)

    def begin(self) -> Lives:
        """Give everybody a learner and a stream, and tell the agents."""
        lives = self.lives
        lives.lifetime.begin({member: np.random.default_rng(run.seed) for member, run in enumerate(self.runs)})
        for member, run in enumerate(self.runs):
            lives.infos[member] = self.codec.info(member)
            self._ask(member, partial(lives.agents[member].reset, self.codec.spec, run.seed))
        return lives

    def advance(self, tick: Tick) -> bool:
        """Let everybody who lives decide once and train; whether anybody did."""
        lives = self.lives
        active = [m for m in np.flatnonzero(~lives.lifetime.over).tolist() if m not in lives.failures]
        if not active:
            return False
        seen = self.codec.observe_all(active)
        decided = {}
        for row, member in enumerate(active):
            observation = {name: values[row] for name, values in seen.items()}
            answer = self._ask(member, partial(self._decide, member, observation))
            if answer is not None:
                decided[member] = answer
        for member, outcome in lives.lifetime.step({m: plan for m, (_, plan) in decided.items()}).items():
            requested = decided[member][0]
            lives.decisions[member].append(Decision(requested, outcome, online_accuracy(outcome)))
            lives.infos[member] = self.codec.info(member, requested, outcome)
            tick(outcome.stop - outcome.start)
        return True

    def _decide(self, member: int, observation: Observation) -> tuple[Plan, Plan]:
        action = self.lives.agents[member].act(observation, self.lives.infos[member])
        requested, plan = self.codec.decode(member, action)
        self.lives.lifetime.check(member, plan)
        return requested, plan

    def _ask(self, member: int, question: Callable[[], Answer]) -> Answer | None:
        """An agent's answer; whatever goes wrong there is its own."""
        try:
            return question()
        except (Exception, SystemExit) as error:
            run = self.runs[member]
            why = f"Agent {run.method_name!r} (seed {run.seed}): {type(error).__name__}: {error}"
            self.lives.failures[member] = Failure(why, traceback.format_exc())
            return None
