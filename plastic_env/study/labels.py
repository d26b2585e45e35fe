"""What runs are called: by scenario and method, and by what tells apart those whose names are alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Place = tuple[str, str, int]  # scenario, method, seed
_WAY = ("agent", "episode", "tuned")  # what a method's name stands for


class Labels:
    """Names for the scenarios and methods of runs, by their settings."""

    def __init__(self, runs: Sequence[Mapping[str, Any]]) -> None:
        self._scenarios = _told_apart(
            (known["scenario"], _scenario(known), {**known["stream"], "data digest": known.get("data")})
            for known in runs
        )
        self._ways = _told_apart(
            (f"{_scenario(known)} {known['method']}", _way(known), {part: known.get(part) for part in _WAY})
            for known in runs
        )

    def place(self, settings: Mapping[str, Any]) -> Place:
        """Where a run belongs."""
        scenario = f"{settings['scenario']}{self._scenarios[_scenario(settings)]}"
        return scenario, f"{settings['method']}{self._ways[_way(settings)]}", int(settings["seed"])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every single value within nested settings, as text, by its path."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _told_apart(runs: Iterable[tuple[str, str, Mapping[str, Any]]]) -> dict[str, str]:
    """What to write behind a name, by key: " (lr=0.01)" where its settings differ from those of others of that name.

    runs: name, key, and settings of each.
    """
    variants: dict[str, dict[str, dict[str, str]]] = {}
    for name, key, settings in runs:
        known = variants.setdefault(name, {})
        if key not in known:
            known[key] = dict(leaves(settings))
    found = {}
    for known in variants.values():
        paths = dict.fromkeys(path for values in known.values() for path in values)
        varied = [path for path in paths if len({values.get(path) for values in known.values()}) > 1]
        for key, values in known.items():
            which = ", ".join(f"{path.rpartition('.')[2]}={values.get(path, '-')}" for path in varied)
            found[key] = f" ({which})" if which else ""
    return found


def _scenario(settings: Mapping[str, Any]) -> str:
    return _plain([settings["scenario"], settings["stream"], settings.get("data")])


def _way(settings: Mapping[str, Any]) -> str:
    return _plain([_scenario(settings), settings["method"], *(settings.get(part) for part in _WAY)])


def _plain(value: object) -> str:
    return json.dumps(value, sort_keys=True)
