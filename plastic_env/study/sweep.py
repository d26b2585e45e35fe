"""What a study consists of: cells of runs, their settings, their ids, and which of them are stacked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import plastic_env
from plastic_env import agents, scenarios
from plastic_env.agents import Method
from plastic_env.env.episode import EpisodeSettings, Start
from plastic_env.errors import AgentError, InvalidSetting, PlasticEnvError, UnknownName
from plastic_env.plain import describe
from plastic_env.scenarios import NAMESPACE, find
from plastic_env.streams.stream import Scenario
from plastic_env.study.assignment import Assigned, assigned, check_known
from plastic_env.study.methods import check_possible, find_method
from plastic_env.study.values import Pairs, Seeds, as_axes, as_names, as_settings, combinations, spread, suffix

MOST_STACKED = 32  # learners of one method that are trained as one population
MOST_JOINED = 16  # learners up to which several methods are: more gain little, and leave less to do side by side
TUNE_SEEDS = "1000-1004"
LONGEST = 120  # characters of a method's name in names of files, which may have 255
LONGEST_SCENARIO = 60


@dataclass(frozen=True)
class Run:
    """One method on one scenario with one seed.

    scenario_name, method_name: labels. episode: how its learner lives.
    source: what decides the result besides the project's own code (see `Found`). start: how its learner begins.
    tuned: what was chosen for it by tuning, and how; empty if nothing was.
    """

    scenario_name: str
    scenario: Scenario
    method_name: str
    method: Method
    seed: int
    episode: EpisodeSettings
    source: str = ""
    tuned: Mapping[str, Any] = field(default_factory=dict)
    start: Start = field(default_factory=Start)

    @cached_property
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
            "tuned": describe(dict(self.tuned)),
            "start": describe(self.start),
            "seed": self.seed,
            "version": plastic_env.__version__,
            "code": code_digest(),
        }

    @cached_property
    def id(self) -> str:
        """Readable, the name of a file anywhere, and another one for other settings."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        method = re.sub(r"[^+=.\w-]", "_", self.method_name)[:LONGEST]
        scenario = re.sub(r"[^+=.\w-]", "_", self.scenario_name)[:LONGEST_SCENARIO]
        return f"{method}-seed{self.seed:03d}-{scenario}-{digest[:8]}"

    def path(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"{self.id}.parquet"

    def error_path(self, folder: Path) -> Path:
        """Where it is kept what went wrong, if it failed."""
        return folder / f"{self.id}.error.json"


@dataclass(frozen=True)
class Cell:
    """One method on one scenario, over all seeds: a row of a study's table.

    scenario, method: labels, which carry the values of the study's axes. title: the scenario's label as it was given.
    runs: one per seed; none if the cell can't be run (then `error` says why), or waits for its tuning.
    """

    scenario: str
    method: str
    title: str
    runs: tuple[Run, ...] = ()
    error: str = ""


class Chosen(NamedTuple):
    """What tuning chose for a cell.

    scenario, method: the cell's labels. values: (name, value) pairs. taoa: their mean TAOA over the tuning's seeds.
    """

    scenario: str
    method: str
    values: tuple[tuple[str, Any], ...]
    taoa: float


@dataclass(frozen=True)
class Study:
    """Scenarios x methods x values of named axes x seeds; plain values only, so that any process can rebuild it, and a
    file can hold it (see `description`).

    scenarios: names; one may stand alone. methods: what `find_method` understands, likewise.
    seeds: a number n for 0 to n - 1; a range such as "100-119"; or several seeds and ranges.
    settings: what is the same for all runs, by name: a setting of the scenarios (`tasks`), of the episodes (`tests`;
        see `EpisodeSettings`), or an option of the methods (`lr`; see `Method.varied`), looked for in this order.
    axes: names of such settings with several values each; every combination is a cell of its own.
    tune: names of options of the methods with candidates for each. For each cell the combination of the highest mean
        TAOA is taken, as found with `tune_seeds`, which `seeds` must not hold.
    chosen: what the tuning chose; None before that. Not for people to fill in.

    Raises:
        InvalidSetting: nothing to run, no plain values, or one thing said twice. Names are looked up by `cells`.
    """

    scenarios: str | Sequence[str]
    methods: str | Sequence[str]
    seeds: Seeds
    settings: Pairs = ()
    axes: Pairs = ()
    tune: Pairs = ()
    tune_seeds: Seeds = TUNE_SEEDS
    chosen: tuple[Chosen, ...] | None = None

    def __post_init__(self) -> None:
        for name, normalise in _NORMAL_FORMS.items():
            object.__setattr__(self, name, normalise(getattr(self, name), name))
        if not (self.scenarios and self.methods and self.seeds):
            raise InvalidSetting("A study needs at least one scenario, at least one method and one seed.")
        names = [name for part in (self.settings, self.axes, self.tune) for name, _ in _items(part)]
        for name in names:
            if names.count(name) > 1:
                raise InvalidSetting(f"{name} is given more than once; name it in one of settings, axes and tune.")
        both = set(self.all_seeds) & set(self.tuning_seeds)
        if self.tune and both:
            raise InvalidSetting(
                f"The seeds {sorted(both)} are used for tuning and for the results; give the tuning others."
            )

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds, written out."""
        return spread(self.seeds)

    @property
    def tuning_seeds(self) -> tuple[int, ...]:
        """Those of the tuning, written out."""
        return spread(self.tune_seeds)

    @property
    def tuning(self) -> Study:
        """The study whose results decide what is chosen: candidates are its axes."""
        return Study(
            self.scenarios, self.methods, self.tune_seeds, self.settings, (*_items(self.axes), *_items(self.tune))
        )

    def cells(self) -> list[Cell]:
        """All cells, in the order of the description: scenarios, their axes, methods, their axes.

        A value of an axis that a scenario or a method refuses fails its own cells only.

        Raises:
            PlasticEnvError: a name that doesn't exist, an agent that can't be loaded, or no cell that can be run.
        """
        found = [cell for name in self.scenarios for cell in _cells(self, name)]
        if all(cell.error for cell in found):
            raise InvalidSetting(found[0].error)
        return found

    def groups(self) -> list[list[Run]]:
        """All runs, in the groups that are trained as one population (see `stacked`)."""
        return stacked(self.cells())


def stacked(cells: Sequence[Cell], most: int = MOST_JOINED) -> list[list[Run]]:
    """The cells' runs, in the groups that are trained as one population: seeds, and methods whose learners and episodes
    are equal.

    The grouping follows from the study alone, never from what is left to do, so that a study taken up again ends with
    the same numbers; stacked otherwise, they differ by rounding.

    most: learners up to which several methods are in one group.
    """
    alike: dict[tuple[str, str], list[list[Run]]] = {}
    for cell in cells:
        if not cell.runs:
            continue
        groups = alike.setdefault((cell.scenario, repr(cell.runs[0].episode)), [])
        if groups and len(groups[-1]) + len(cell.runs) <= most:
            groups[-1].extend(cell.runs)
        else:
            groups += [list(cell.runs[at : at + MOST_STACKED]) for at in range(0, len(cell.runs), MOST_STACKED)]
    return [group for groups in alike.values() for group in groups]


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


_NORMAL_FORMS: dict[str, Any] = {
    "scenarios": as_names,
    "methods": as_names,
    "seeds": spread,
    "settings": as_settings,
    "axes": as_axes,
    "tune": as_axes,
    "tune_seeds": spread,
}


def _items(pairs: Pairs) -> list[tuple[str, Any]]:
    return list(dict(pairs).items())


def _cells(study: Study, name: str) -> Iterator[Cell]:
    """All cells on one scenario."""
    settings, axes, labels = dict(study.settings), dict(study.axes), dict[str, str]()
    options = assigned(axes, name).options
    world = {axis: values for axis, values in axes.items() if axis not in options}
    for written in study.methods:
        check_known(study, name, written)
        label = find_method(written, assigned(settings, name).options).label
        if label in labels:
            raise AgentError(
                f"{labels[label]!r} and {written!r} are both called {label}; rename one of the classes or files."
            )
        labels[label] = written
    for where in combinations(world):
        for label, written in labels.items():
            for varied in combinations(options):
                title = name + suffix(where)
                blank = Cell(title.removeprefix(f"{NAMESPACE}/"), label + suffix(varied), title)
                try:
                    yield _filled(study, blank, name, written, assigned({**settings, **where, **varied}, name))
                except UnknownName:  # a mistake, rather than a value too far
                    raise
                except PlasticEnvError as error:
                    yield Cell(blank.scenario, blank.method, title, error=str(error))


def _filled(study: Study, cell: Cell, name: str, written: str, given: Assigned) -> Cell:
    """The cell with its runs."""
    scenario = find(name, **given.scenario)
    scenario.stream(0)  # raises if its settings or its data are impossible
    tuned: dict[str, Any] = {}
    if study.tune:
        if study.chosen is None:
            return cell
        tuned = _choice(study, cell)
    _, method, source = find_method(written, {**given.options, **tuned.get("values", {})})
    check_possible(cell.method, method)
    episode = EpisodeSettings(learner=method.learner, **given.episode)
    runs = (Run(cell.scenario, scenario, cell.method, method, seed, episode, source, tuned) for seed in study.all_seeds)
    return Cell(cell.scenario, cell.method, cell.title, tuple(runs))


def _choice(study: Study, cell: Cell) -> dict[str, Any]:
    """What was chosen for a cell, as its runs keep it."""
    for choice in study.chosen or ():
        if (choice.scenario, choice.method) == (cell.scenario, cell.method):
            return {"values": dict(choice.values), "of": dict(study.tune), "seeds": list(study.tuning_seeds)}
    raise InvalidSetting(
        f"No candidate for {', '.join(dict(study.tune))} could be run; see the failures of the tuning."
    )
