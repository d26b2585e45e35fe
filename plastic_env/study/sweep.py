"""What a study consists of: runs, their settings, their ids, and which of them are stacked."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import plastic_env
from plastic_env import agents, scenarios
from plastic_env.agents import Method
from plastic_env.env.episode import EpisodeSettings, Start
from plastic_env.errors import AgentError, InvalidSetting
from plastic_env.plain import describe
from plastic_env.scenarios import NAMESPACE, find
from plastic_env.streams.stream import Scenario
from plastic_env.study.methods import find_method

MOST_STACKED = 32  # learners trained as one population
LONGEST = 120  # characters of a method's name in names of files, which may have 255


@dataclass(frozen=True)
class Run:
    """One method on one scenario with one seed.

    source: what decides the result besides the project's own code (see `Found`). start: how its learner begins.
    """

    scenario_name: str
    scenario: Scenario
    method_name: str
    method: Method
    seed: int
    episode: EpisodeSettings
    source: str = ""
    start: Start = field(default_factory=Start)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the run's result, as plain JSON values."""
        return {
            "scenario": self.scenario_name,
            "stream": describe(self.scenario),
            "data": getattr(self.scenario, "digest", ""),
            "method": self.method_name,
            "agent": describe(self.method.make()),
            "agent_source": hashlib.sha256(self.source.encode()).hexdigest() if self.source else "",
            "episode": describe(self.episode),
            "start": describe(self.start),
            "seed": self.seed,
            "version": plastic_env.__version__,
            "code": code_digest(),
        }

    @property
    def id(self) -> str:
        """Readable, the name of a file anywhere, and another one for other settings."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        name = re.sub(r"[^+=.\w-]", "_", self.method_name)[:LONGEST]
        return f"{name}-seed{self.seed:03d}-{digest[:8]}"

    def path(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"{self.id}.parquet"

    def error_path(self, folder: Path) -> Path:
        """Where it is kept what went wrong, if it failed."""
        return folder / f"{self.id}.error.json"


@dataclass(frozen=True)
class Study:
    """Methods compared on one scenario over the same seeds; names only, so that any process can rebuild it.

    scenario: name. changes: (setting, value) pairs of the scenario that differ from its defaults.
    methods: what `find_method` understands.
    tests: what is tested at the end of each task (see `EpisodeSettings`).
    """

    scenario: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    changes: tuple[tuple[str, Any], ...] = ()
    tests: str = "none"

    def groups(self) -> list[list[Run]]:
        """All runs, in the groups that are trained as one population.

        The grouping follows from the study alone, never from what is left to do, so that a study taken up again
        ends with the same numbers.

        Raises:
            PlasticEnvError: a name that doesn't exist, or an agent that can't be loaded.
        """
        if not self.methods or not self.seeds:
            raise InvalidSetting("A study needs at least one method and one seed.")
        scenario = find(self.scenario, **dict(self.changes))
        name = self.scenario.removeprefix(f"{NAMESPACE}/")
        groups: list[list[Run]] = []
        labels: dict[str, str] = {}
        for wanted in self.methods:
            label, method, source = find_method(wanted)
            if label in labels:
                raise AgentError(
                    f"{labels[label]!r} and {wanted!r} are both called {label}; rename one of the classes or files."
                )
            labels[label] = wanted
            episode = EpisodeSettings(learner=method.learner, tests=self.tests)
            runs = [Run(name, scenario, label, method, seed, episode, source) for seed in self.seeds]
            groups += [runs[at : at + MOST_STACKED] for at in range(0, len(runs), MOST_STACKED)]
        return groups

    def notes(self) -> list[str]:
        """Of each policy that was learned: on what, and on what it is compared here."""
        scenario = find(self.scenario, **dict(self.changes))
        here = [self.scenario.removeprefix(f"{NAMESPACE}/"), getattr(scenario, "split", "")]
        found = []
        for label, method, _ in map(find_method, self.methods):
            trained_on = describe(method.make()).get("trained_on")
            if trained_on is None:
                continue
            there, seeds = [trained_on["scenario"], trained_on["split"]], trained_on["seeds"]
            note = (
                f"{label} was trained on {_named(*there)}, seeds {seeds[0]} to {seeds[1]}, and lives here on "
                f"{_named(*here)}, seeds {min(self.seeds)} to {max(self.seeds)}."
            )
            if there == here and here[1]:
                note += " That is the split it was trained on: compare on another, with --set split=test."
            found.append(note)
        return found


def _named(scenario: str, split: str) -> str:
    return f"{scenario} (split {split})" if split else scenario


@cache
def code_digest() -> str:
    """Digest of the source that decides results: once it changes, finished runs are no longer what would be run."""
    package = Path(plastic_env.__file__).parent
    folders = [
        *(package / name for name in ("streams", "learner", "env", "avalanche")),
        *(Path(p.__path__[0]) for p in (agents, scenarios)),
    ]
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
