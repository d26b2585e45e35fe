"""What a study consists of: runs, their settings, their ids, and which of them are stacked."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import plastic_env
from plastic_env import agents, scenarios
from plastic_env.agents import METHODS, Method
from plastic_env.agents.learned import policy
from plastic_env.env.episode import EpisodeSettings
from plastic_env.errors import AgentError, InvalidSetting, look_up
from plastic_env.learner.settings import LearnerSettings
from plastic_env.plain import describe
from plastic_env.scenarios import NAMESPACE, find
from plastic_env.streams.stream import Scenario

MOST_STACKED = 32  # learners trained as one population


@dataclass(frozen=True)
class Run:
    """One method on one scenario with one seed.

    source: the text of the agent's file if it is not one of the project's own, or a digest of a learned policy: it is
        part of what was run.
    """

    scenario_name: str
    scenario: Scenario
    method_name: str
    method: Method
    seed: int
    episode: EpisodeSettings
    source: str = ""

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
            "seed": self.seed,
            "version": plastic_env.__version__,
            "code": code_digest(),
        }

    @property
    def id(self) -> str:
        """Readable, and another one for other settings."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        return f"{self.method_name}-seed{self.seed:03d}-{digest[:8]}"

    def path(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"{self.id}.parquet"


@dataclass(frozen=True)
class Study:
    """Methods compared on one scenario over the same seeds; names only, so that any process can rebuild it.

    scenario: name. changes: (setting, value) pairs of the scenario that differ from its defaults.
    methods: names in `METHODS`, "path/to/file.py:ClassName" for an agent of the user's own, or "ppo:path/to/file" or
        "cma:path/to/file" for a policy that was learned.
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


def find_method(name: str) -> tuple[str, Method, str]:
    """A method by name, made of the class that "path/to/file.py:ClassName" points at, or of the policy in a file
    ("ppo:path/to/file").

    Such a class follows the `Agent` protocol, can be made without arguments, and may have an attribute `learner`
    (`LearnerSettings`). A run is identified by the file's text and the fields of the agent, if it is a dataclass;
    of other files that it reads, nothing is known: after a change to these, run with `overwrite`.

    Returns:
        Its label, the method, and the text of the file ("" for the project's own; a digest for a policy's).
    """
    learned = policy.method_of(name)
    if learned is not None:
        return learned
    path, colon, class_name = name.rpartition(":")
    if not (colon and path.endswith(".py")):
        return name, look_up(METHODS, name, "method (or path/to/file.py:ClassName, ppo:FILE, cma:FILE, fixed:FILE)"), ""
    file = Path(path)
    if not file.is_file():
        raise AgentError(f"There is no file {path!r} to load the agent {class_name} from (looked in {Path.cwd()}).")
    module = _load_module(file)
    agent = getattr(module, class_name, None)
    if not isinstance(agent, type) or not all(callable(getattr(agent, part, None)) for part in ("reset", "act")):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and hasattr(value, "act")]
        raise AgentError(
            f"{path} has no agent class {class_name!r} with the methods reset and act; "
            f"classes there with act: {', '.join(classes) or 'none'}."
        )
    try:
        describe(agent())
    except Exception as error:
        raise AgentError(f"{class_name} of {path} can't be made without arguments: {error}") from error
    learner = getattr(agent, "learner", LearnerSettings())
    if not isinstance(learner, LearnerSettings):
        raise AgentError(f"{class_name}.learner is {learner!r}; give plastic_env.LearnerSettings(...).")
    return class_name, Method(f"{class_name} of {path}", agent, learner), file.read_text()


def _named(scenario: str, split: str) -> str:
    return f"{scenario} (split {split})" if split else scenario


def _load_module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)  # dataclasses look their module up
    if str(file.resolve().parent) not in sys.path:
        sys.path.append(str(file.resolve().parent))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise AgentError(f"{file} can't be imported: {type(error).__name__}: {error}") from error
    return module


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
