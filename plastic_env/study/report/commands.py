"""The commands that redo results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plastic_env.env.episode import EpisodeSettings
from plastic_env.errors import PlasticEnvError
from plastic_env.plain import describe
from plastic_env.scenarios import find
from plastic_env.study.description import seeds_word, to_words, value_word
from plastic_env.study.folder import Folder
from plastic_env.study.methods import find_method
from plastic_env.study.results import ByMethod, Result
from plastic_env.study.ticket import WEIGHTS, retrained_methods


@dataclass(frozen=True)
class Commands:
    """What redoes results.

    lines: commands. remarks: on what they can't know.
    """

    lines: Sequence[str]
    remarks: Sequence[str]


def commands_of(found: Folder, folder: Path) -> Commands:
    """A `plastic-env run` for each study that is kept there; for other results a `compare` or a `ticket` for each
    scenario, as far as they tell what was run."""
    lines, remarks = [], dict[str, None]()  # each remark once, in order
    named: set[tuple[str, str]] = set()
    for plan in found.planned:
        if plan.study is not None:
            lines.append(shlex.join(["plastic-env", "run", *to_words(plan.study), "--out", str(plan.folder)]))
            named |= plan.names
    for label, methods in found.results.items():
        tickets = found.tickets.get(label, {})
        rest = {name: runs for name, runs in methods.items() if _name(runs) not in named}
        for kind in WEIGHTS:
            own = retrained_methods(tickets, kind).keys() & methods.keys()
            if own:
                retrained = {name: runs for name, runs in methods.items() if name in own}
                weighing = [] if kind == "fresh" else ["--weights", kind]
                lines.append(_line("ticket", label, retrained, [*weighing, "--out", str(folder)], remarks))
                rest = {name: runs for name, runs in rest.items() if name not in own}
        if rest:
            lines.append(_line("compare", label, rest, ["--out", str(folder)], remarks))
    return Commands(lines, list(remarks))


def _line(command: str, label: str, methods: ByMethod, last: Sequence[str], remarks: dict[str, None]) -> str:
    """One command for these methods on one scenario."""
    results = [result for runs in methods.values() for result in runs]
    first = results[0].settings
    name = first["scenario"].partition("+")[0]
    try:
        usual = describe(find(name))
    except PlasticEnvError:
        usual = first["stream"]
        remarks[f"{label} is no scenario of this version: its settings are above."] = None
    changes = _changes(first["stream"], usual) | _changes(first["episode"], describe(EpisodeSettings()), ("learner",))
    names = dict.fromkeys(runs[0].settings["method"] for runs in methods.values())
    for runs in methods.values():
        remarks |= dict.fromkeys(_doubts(runs[0].settings))
    words = ["plastic-env", command, "--scenario", name, "--methods", *names]
    words += ["--seeds", seeds_word(sorted({result.seed for result in results}))]
    words += ["--set", *(f"{key}={value_word(value)}" for key, value in changes.items())] if changes else []
    return shlex.join([*words, *last])


def _name(runs: Sequence[Result]) -> tuple[str, str]:
    return runs[0].settings["scenario"], runs[0].settings["method"]


def _changes(settings: Mapping[str, Any], usual: Mapping[str, Any], but: Sequence[str] = ()) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value != usual.get(key) and key not in but}


def _doubts(settings: Mapping[str, Any]) -> list[str]:
    """What a method's name, as it is in a result, doesn't say."""
    name = settings["method"]
    try:
        method = find_method(name).method
    except PlasticEnvError:
        return [f"{name} is none of the project's methods: write where it is, as in path/to/file.py:{name}."]
    kept = {"agent": settings["agent"], "learner": settings["episode"]["learner"]}
    if kept != {"agent": describe(method.make()), "learner": describe(method.learner)}:
        return [f"{name} was run with other settings than its name stands for: see Settings, and add options."]
    return []
