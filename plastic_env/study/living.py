"""The lives of runs, as one population: agents decide, learners train."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from plastic_env.env.encoding import Codec, Observation
from plastic_env.env.episode import Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.env.rewards import online_accuracy
from plastic_env.errors import AgentError
from plastic_env.study.results import Decision
from plastic_env.study.sweep import Run

Answer = TypeVar("Answer")


class Lives:
    """The lives of runs whose learners and episodes are equal, up to the present.

    decisions: those of each member so far. failures: what went wrong, by member, and the traceback. agents, infos: who
    decides, and what each will be told next. Beside the lifetime, that is all that decides how lives go on (`KEPT`).
    """

    KEPT = ("agents", "infos", "decisions", "failures")

    def __init__(self, runs: Sequence[Run], lifetime: Lifetime | None = None) -> None:
        self.runs = runs
        self.lifetime = lifetime or Lifetime(runs[0].scenario, runs[0].episode, len(runs))
        self.codec = Codec(self.lifetime)
        self.agents = [run.method.make() for run in runs]
        self.infos: list[dict[str, Any]] = []
        self.decisions: list[list[Decision]] = [[] for _ in runs]
        self.failures: dict[int, tuple[str, str]] = {}

    @property
    def active(self) -> list[int]:
        """Those whose lives go on."""
        return [m for m in np.flatnonzero(~self.lifetime.over).tolist() if m not in self.failures]

    def begin(self) -> None:
        """Give everybody a learner and a stream, and tell the agents."""
        rngs = {member: np.random.default_rng(run.seed) for member, run in enumerate(self.runs)}
        self.lifetime.begin(rngs, {member: run.start for member, run in enumerate(self.runs)})
        self.infos = [self.codec.info(member) for member in range(len(self.runs))]
        for member, run in enumerate(self.runs):
            self._ask(member, partial(self.agents[member].reset, self.codec.spec, run.seed))

    def advance(self) -> dict[int, Decision]:
        """Let all who are active decide once and train; by member, what was done.

        An agent that raises, or asks for what can't be done, ends its own run only.
        """
        seen, decided = self.codec.observe_all(self.active), {}
        for row, member in enumerate(self.active):
            observation = {name: values[row] for name, values in seen.items()}
            answer = self._ask(member, partial(self._decide, member, observation))
            if answer is not None:
                decided[member] = answer
        done = {}
        for member, outcome in self.lifetime.step({m: plan for m, (_, plan) in decided.items()}).items():
            requested = decided[member][0]
            done[member] = Decision(requested, outcome, online_accuracy(outcome))
            self.decisions[member].append(done[member])
            self.infos[member] = self.codec.info(member, requested, outcome)
        return done

    def _decide(self, member: int, observation: Observation) -> tuple[Plan, Plan]:
        requested, plan = self.codec.decode(member, self.agents[member].act(observation, self.infos[member]))
        self.lifetime.check(member, plan)
        return requested, plan

    def _ask(self, member: int, question: Callable[[], Answer]) -> Answer | None:
        """An agent's answer; whatever goes wrong there is its own."""
        try:
            return question()
        except (Exception, SystemExit) as error:
            run = self.runs[member]
            why = f"Agent {run.method_name!r} (seed {run.seed}): {type(error).__name__}: {error}"
            self.failures[member] = why, traceback.format_exc()
            return None


def live(runs: Sequence[Run], lifetime: Lifetime) -> Iterator[tuple[int, Decision]]:
    """Every decision of the runs' agents, by member of `lifetime`, as it has been carried out.

    Raises:
        AgentError: an agent went wrong; only after all others have lived their lives.
    """
    lives = Lives(runs, lifetime)
    lives.begin()
    while lives.active:
        yield from lives.advance().items()
    for why, _ in lives.failures.values():
        raise AgentError(why)
