"""The errors people see: what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeGuard, TypeVar

import numpy as np

Value = TypeVar("Value")


class PlasticEnvError(ValueError):
    """Base of every refusal of plastic_env. An edit, plan, action or setting that is refused has changed nothing."""


class UnknownName(PlasticEnvError):
    """A name that is in none of the name tables."""


class InvalidEdit(PlasticEnvError):
    """An edit that the rules cannot carry out on the learner as it is."""


class InvalidAction(PlasticEnvError):
    """An action outside of the action space."""


class InvalidSetting(PlasticEnvError):
    """A setting with a value that makes no sense."""


class InvalidData(PlasticEnvError):
    """Inputs or targets that no learner should be trained on."""


class InvalidScores(PlasticEnvError):
    """Measurements that no statistic can be made of."""


class InvalidSnapshot(PlasticEnvError):
    """A snapshot that is damaged, foreign, or of other learners."""


class AgentError(PlasticEnvError):
    """An agent that could not be loaded, raised, or returned something that is no action."""


class FileError(PlasticEnvError):
    """A file or folder that cannot be read or written."""


class BackendError(PlasticEnvError):
    """A place to run studies that cannot be reached, is of another version, or lacks something."""


def look_up(table: Mapping[str, Value], name: object, kind: str) -> Value:
    """Return `table[name]`, or raise `UnknownName` that lists the names and the nearest one."""
    if isinstance(name, str) and name in table:
        return table[name]
    raise UnknownName(f"Unknown {kind} {name!r}.{hint(name, table)} Known: {', '.join(table)}.")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise `InvalidSetting` unless it is a whole number of at least `least`."""
    if not is_whole(value, least):
        raise InvalidSetting(f"{name} is {value!r}; give a whole number of at least {least}.")


def check_share(name: str, value: object) -> None:
    """Raise `InvalidSetting` unless it is a number from 0 to 1."""
    if not is_within(value, 0, 1):
        raise InvalidSetting(f"{name} is {value!r}; give a number from 0 to 1.")


def check_positive(name: str, value: object) -> None:
    """Raise `InvalidSetting` unless it is a finite number above 0."""
    if not is_within(value, 0, ends="(]"):
        raise InvalidSetting(f"{name} is {value!r}; give a positive number.")


def is_finite(value: object) -> TypeGuard[float]:
    """Whether `value` is a finite number (Python's or numpy's, no truth value)."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and bool(-np.inf < value < np.inf)  # type: ignore[operator]


def is_within(value: object, low: float, high: float = np.inf, ends: str = "[]") -> TypeGuard[float]:
    """Whether `value` is a finite number from `low` to `high`.

    ends: "(" in place of "[", ")" in place of "]": that end itself is not allowed.
    """
    if not is_finite(value):
        return False
    return (low < value or (ends[0] == "[" and value == low)) and (value < high or (ends[1] == "]" and value == high))


def hint(name: object, known: Iterable[str]) -> str:
    """ " Did you mean 'NAME'?" with the nearest known name, or "" if none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def is_whole(value: object, least: int = 0) -> TypeGuard[int]:
    """Whether `value` is an integer (Python's or numpy's, no truth value) of at least `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def check_number(settings: object, name: str, low: float, high: float = np.inf, ends: str = "[]") -> None:
    """Refuse a field of `settings` that is no finite number from `low` to `high`.

    ends: as for `is_within`.

    Raises:
        InvalidSetting: it is something else.
    """
    value = getattr(settings, name)
    if is_within(value, low, high, ends):
        return
    least = f"of at least {low:g}" if ends[0] == "[" else f"above {low:g}"
    most = "" if high == np.inf else f" and at most {high:g}" if ends[1] == "]" else f" and below {high:g}"
    finite = "finite " if high == np.inf else ""
    raise InvalidSetting(f"{type(settings).__name__} has {name}={value!r}; give a {finite}number {least}{most}.")
