"""Running what claims ask for, each study once, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from plastic_env.errors import AgentError
from plastic_env.study import measures
from plastic_env.study.claims.protocol import Cycles, Shifts
from plastic_env.study.results import ByMethod, Result
from plastic_env.study.runner import Running, run_study
from plastic_env.study.sweep import Study
from plastic_env.study.ticket import TicketStudy, ticket_name


class Evidence:
    """Runs on demand; what is finished is read.

    folder: where runs are kept. failures: why runs failed, each reason once.
    """

    def __init__(self, folder: Path, running: Running) -> None:
        self.folder, self.running = folder, running
        self.failures: dict[str, None] = {}
        self._found: dict[Study, ByMethod] = {}

    def cycles(self, part: Cycles, methods: Mapping[str, str]) -> ByMethod:
        """Lives of methods on edit cycles."""
        return self._named(self._run(part.study(methods)), methods)

    def tickets(self, part: Cycles, methods: Mapping[str, str]) -> ByMethod:
        """The tickets of these methods."""
        self.cycles(part, methods)  # whose masks they take: says so if there are none
        study = part.study(methods)
        made = TicketStudy.of(study, self._run(study))
        return self._named(self._run(made), methods, ticket=True)

    def stream(self, part: Shifts, *methods: str) -> ByMethod:
        """Lives of methods on a stream."""
        found = self._run(part.study(*methods))
        return self._named(found, {name: part.methods[name] for name in methods})

    def at_equal_compute(self, part: Shifts, *methods: str, frugal: str = "grow") -> ByMethod:
        """The same tasks with as many updates for each as let a life cost what one of `frugal` does."""
        lives = self.stream(part, *methods)
        budget = _macs(self.stream(part, frugal)[frugal])
        updates = {name: max(1, round(_per_task(results) * budget / _macs(results))) for name, results in lives.items()}
        return {
            name: lives[name]
            if updates[name] == _per_task(lives[name])
            else self._run(part.study(name, updates=updates[name]))[part.methods[name]]
            for name in methods
        }

    def _run(self, study: Study) -> ByMethod:
        if study not in self._found:
            finished = run_study(study, self.folder, self.running)
            self.failures |= dict.fromkeys(finished.failures.values())
            self._found[study] = finished.results
        return self._found[study]

    @staticmethod
    def _named(found: ByMethod, methods: Mapping[str, str], ticket: bool = False) -> ByMethod:
        labels = {name: ticket_name(written) if ticket else written for name, written in methods.items()}
        missing = [name for name, label in labels.items() if label not in found]
        if missing:
            raise AgentError(f"Every run of {', '.join(missing)} failed; see the .error.json files beside the results.")
        return {name: found[label] for name, label in labels.items()}


def scores(lives: Mapping[str, Sequence[Result]], of: Callable[[Result], float]) -> dict[str, np.ndarray]:
    """A score of each run by method, [seeds] of those seeds that all methods have finished."""
    by_seed = {name: {result.seed: of(result) for result in results} for name, results in lives.items()}
    seeds = sorted(set.intersection(*(set(found) for found in by_seed.values())))
    return {name: np.array([found[seed] for seed in seeds]) for name, found in by_seed.items()}


def acc(result: Result) -> float:
    """Test accuracy at the last checkpoint."""
    return float(measures.acc_taa([result])[0, 0])


def taa(result: Result) -> float:
    """Test accuracy, averaged over the checkpoints."""
    return float(measures.acc_taa([result])[0, 1])


def taoa(result: Result) -> float:
    """Mean online accuracy."""
    return result.taoa()


def _macs(results: Sequence[Result]) -> float:
    return float(np.mean([result.macs() for result in results]))


def _per_task(results: Sequence[Result]) -> int:
    return int(results[0].settings["stream"]["updates"])
