"""What there is to choose from: a line about everything that has a name, and all that is known of one of them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from plastic_env.agents import MAINTENANCE, METHODS, OPTIMIZERS
from plastic_env.env.encoding import ILLEGAL
from plastic_env.env.episode import BOUNDARIES
from plastic_env.env.evaluation import TESTS
from plastic_env.env.rendering import COLOURS
from plastic_env.env.rewards import REWARDS
from plastic_env.errors import FileError, UnknownName, hint, look_up
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.edits import KINDS, REWINDS
from plastic_env.learner.insertion import INSERTIONS
from plastic_env.learner.normalisation import NORMS
from plastic_env.learner.objectives import OBJECTIVES
from plastic_env.learner.parameters import INITS
from plastic_env.learner.selection import RULES
from plastic_env.learner.trainability import TRAINABILITY
from plastic_env.learner.transfer import OPTIMIZER_STATES
from plastic_env.plain import describe
from plastic_env.scenarios import NAMESPACE, SCENARIOS
from plastic_env.scenarios.data import DATASETS, PREFIXES
from plastic_env.study.backends import BACKENDS
from plastic_env.study.methods import find_method, offered
from plastic_env.study.results import read_result
from plastic_env.study.ticket import WEIGHTS
from plastic_env.study.tracking import SINKS

Table = Mapping[str, Any]
_RULES: dict[str, Table] = {
    **{f"{kind}_rule": RULES[kind] for kind in KINDS},
    "insertion": INSERTIONS,
    "optimizer_state": OPTIMIZER_STATES,
    "trainability": TRAINABILITY,
    "rewind": REWINDS,
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "init": INITS,
    "optimizer": OPTIMIZERS,
    "maintenance": MAINTENANCE,
    "loss": OBJECTIVES,
    "boundaries": BOUNDARIES,
    "tests": TESTS,
    "reward": REWARDS,
    "illegal": ILLEGAL,
    "colour": COLOURS,
    "weights": WEIGHTS,
    "backend": BACKENDS,
    "track": SINKS,
}
_SOURCE = re.compile(r" \((?:[^()]|\([^()]*\))*(?:\d{4}|arXiv)(?:[^()]|\([^()]*\))*\)")  # a year in brackets
LISTS = ("scenarios", "methods", "data", "rules")


def listed(kind: str) -> list[tuple[str, str]]:
    """Names and a line about each.

    Raises:
        UnknownName: no such kind; see `LISTS`.
    """
    look_up(dict.fromkeys(LISTS), kind, "list")
    if kind == "scenarios":
        return [(name, f"{line(scenario)} ({_sizes(scenario)})") for name, scenario in SCENARIOS.items()]
    if kind == "methods":
        others = [(name, f"offered by {entry.value}") for name, entry in offered().items()]
        return [*((name, method.summary) for name, method in METHODS.items()), *others]
    if kind == "data":
        return [*DATASETS.items(), *PREFIXES.items()]
    return [
        (f"{field}={name}", line(rule) + _apart(rule, table))
        for field, table in _RULES.items()
        for name, rule in table.items()
    ]


def shown(name: str, folder: Path | None = None) -> str:
    """All that is known of a scenario, a method, a rule (its name alone, or field=name), or of a run: its id, with the
    folder that holds it, or its file.

    Raises:
        UnknownName, FileError: there is nothing of that name.
    """
    run = Path(name) if name.endswith(".parquet") else (folder or Path()) / f"{name}.parquet"
    if run.exists():
        return _settings(read_result(run).settings)
    if name.endswith(".parquet"):
        raise FileError(
            f"There is no file {name!r} (looked in {Path.cwd()}); give the file of a run, or its id and --out."
        )
    scenario = SCENARIOS.get(name.removeprefix(f"{NAMESPACE}/"))
    if scenario is not None:
        return f"{name}\n\n{inspect.getdoc(scenario)}\n\n{_settings(describe(scenario))}"
    rules = [text for text, _ in listed("rules") if name in (text, text.partition("=")[2])]
    if rules:
        return "\n\n".join(f"{text}\n\n{_text(_rule(text))}" for text in rules)
    return _method(name)


def line(thing: Any) -> str:
    """The first sentence of what is known of something with a name, without its source."""
    paragraph = " ".join(_text(thing).partition("\n\n")[0].split())
    return re.split(r"[.:]$|\. ", _SOURCE.sub("", paragraph))[0]


def _apart(rule: Any, table: Table) -> str:
    """The settings of a rule that others of its table share all but these with; "" if there is no such other."""
    twins = [other for other in table.values() if type(other) is type(rule) and line(other) == line(rule)]
    if len(twins) < 2:
        return ""
    return f" ({', '.join(f'{field.name}={getattr(rule, field.name):g}' for field in fields(rule))})"


def _method(name: str) -> str:
    try:
        method = find_method(name).method
    except UnknownName as error:
        if "+" in name:
            raise
        known = (*METHODS, *offered(), *SCENARIOS, *(part for text, _ in listed("rules") for part in text.split("=")))
        raise UnknownName(
            f"Nothing is called {name!r}.{hint(name, known)} `plastic-env list` lists all names."
        ) from error
    agent = method.make()
    settings = {"agent": describe(agent), "learner": describe(method.learner)}
    return f"{name}: {method.summary}\n\n{inspect.getdoc(agent)}\n\n{_settings(settings)}"


def _rule(text: str) -> Any:
    field, _, name = text.partition("=")
    return _RULES[field][name]


def _text(rule: Any) -> str:
    """Of a rule: what its table says, or its docstring."""
    if rule is None:
        return "nothing of the kind"
    if isinstance(rule, str):
        return rule
    summary = None if inspect.isclass(rule) else getattr(rule, "summary", None)
    return summary or inspect.getdoc(rule) or type(rule).__name__


def _sizes(scenario: Any) -> str:
    """What tells the scenarios of a family apart at a glance."""
    values = {name: getattr(scenario, name, None) for name in ("data", "tasks", "updates", "batch_size")}
    return ", ".join(str(value) if name == "data" else f"{name}={value}" for name, value in values.items() if value)


def _settings(settings: object) -> str:
    return json.dumps(settings, indent=2)
