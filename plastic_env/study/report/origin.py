"""Where results come from: settings that are shared and that differ, and versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plastic_env.study.labels import Place
from plastic_env.study.results import ByScenario, Result

# of single runs, or said elsewhere
LEFT_OUT = (
    "id",
    "seed",
    "scenario",
    "method",
    "shifts",
    "scored",
    "stacked",
    "live_slots",
    "start",
    "version",
    "code",
    "environment",
)


@dataclass(frozen=True)
class Settings:
    """Every setting at the first level where it is one value, as (name, value) pairs of text.

    shared: by all runs. scenarios, methods: by those of one scenario or method, whichever it follows from.
    cells: by those of one method on one scenario. loose: names of what differs even there, from seed to seed.
    """

    shared: Sequence[tuple[str, str]]
    scenarios: Mapping[str, Sequence[tuple[str, str]]]
    methods: Mapping[str, Sequence[tuple[str, str]]]
    cells: Mapping[tuple[str, str], Sequence[tuple[str, str]]]
    loose: Sequence[str]


def settings_of(found: ByScenario) -> Settings:
    """The settings of all runs, sorted by what they follow from."""
    runs = {
        (scenario, method, result.seed): dict(_flat(result.settings))
        for scenario, methods in found.items()
        for method, results in methods.items()
        for result in results
    }
    levels: list[Callable[[Place], Any]] = [lambda run: (), lambda run: run[0], lambda run: run[1], lambda run: run[:2]]
    sorted_: list[dict[Any, list[tuple[str, str]]]] = [{} for _ in levels]
    loose = []
    for name in dict.fromkeys(name for settings in runs.values() for name in settings):
        for level, kept in zip(levels, sorted_, strict=True):
            values: dict[Any, set[str | None]] = {}
            for run, settings in runs.items():
                values.setdefault(level(run), set()).add(settings.get(name))
            if all(len(own) == 1 for own in values.values()):
                for place, (value,) in values.items():
                    if value is not None:
                        kept.setdefault(place, []).append((name, value))
                break
        else:
            loose.append(name)
    shared, scenarios, methods, cells = sorted_
    return Settings(shared.get((), []), scenarios, methods, cells, loose)


def versions_of(found: ByScenario) -> dict[str, list[str]]:
    """What computed the results, by name: one value each, unless runs of several versions are mixed."""
    values: dict[str, list[str]] = {}
    for result in _all(found):
        known = {
            "plastic_env": result.settings.get("version", "unknown"),
            "digest of its code": result.settings.get("code", "unknown"),
            **result.settings.get("environment", {}),
        }
        for name, value in known.items():
            if str(value) not in values.setdefault(name, []):
                values[name].append(str(value))
    return values


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names with dots and values as text; the values of one dataclass stand together where it is an agent or an
    optimizer, as in `Recycle(share=0.125)`."""
    for name, value in settings.items():
        if name in LEFT_OUT:
            continue
        if name in ("stream", "episode", "learner"):
            for inner, text in _flat({key: part for key, part in value.items() if (name, key) not in _TYPES}):
                yield f"{name}.{inner}", text
        elif value not in ("", {}, None) or name not in _OPTIONAL:
            yield name, compact(value)


_TYPES = {("episode", "type"), ("learner", "type")}  # always the same
_OPTIONAL = ("agent_source", "tuned", "data")


def compact(value: Any) -> str:
    """A setting as people write it: `Recycle(share=0.125)` for what `describe` made of a dataclass."""
    if isinstance(value, dict) and "type" in value:
        inner = ", ".join(f"{key}={compact(part)}" for key, part in value.items() if key != "type")
        return f"{value['type']}({inner})"
    if isinstance(value, dict):
        return ", ".join(f"{key}={compact(part)}" for key, part in value.items()) or "-"
    if isinstance(value, list):
        return f"[{', '.join(map(compact, value))}]"
    return str(value)


def _all(found: ByScenario) -> Iterator[Result]:
    for methods in found.values():
        for results in methods.values():
            yield from results
