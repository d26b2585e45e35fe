"""What people write in a study, brought to one form: names, seeds, settings, axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from plastic_env.errors import InvalidSetting, is_whole

Seeds = int | str | Sequence[int | str]
Pairs = Mapping[str, Any] | Sequence[tuple[str, Any]]  # values by name
_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


def spread(seeds: Seeds, option: str = "seeds") -> tuple[int, ...]:
    """The seeds that are meant, each once: 8 is 0 to 7; "100-119" is a range with both ends; "3,7,100-119" or a list
    [3, 7, "100-119"] names several.

    Raises:
        InvalidSetting: no such thing, or no seed at all.
    """
    if isinstance(seeds, str):
        parts: list[int | str] = [part for part in seeds.split(",") if part.strip()]
        seeds = int(seeds) if seeds.strip().lstrip("-").isdigit() else parts
    if not isinstance(seeds, (list, tuple)):
        if not is_whole(seeds, 1):
            raise InvalidSetting(f"{option} is {seeds!r}; give a whole number of at least 1.")
        return tuple(range(seeds))
    found = [seed for part in seeds for seed in _range(part, option)]
    if not found:
        raise InvalidSetting(f"{option} is {seeds!r}; name at least one.")
    return tuple(dict.fromkeys(found))


def shortest(seeds: Sequence[int]) -> int | list[int | str]:
    """The shortest way to write these seeds that `spread` understands."""
    if list(seeds) == list(range(len(seeds))):
        return len(seeds)
    stretches: list[list[int]] = []
    for seed in seeds:
        if stretches and seed == stretches[-1][-1] + 1:
            stretches[-1].append(seed)
        else:
            stretches.append([seed])
    return [part[0] if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in stretches]


def as_names(names: object, option: str) -> tuple[str, ...]:
    """One name or several, each once.

    Raises:
        InvalidSetting: something else than names.
    """
    found = [names] if isinstance(names, str) else names
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) and name for name in found):
        raise InvalidSetting(f"{option} is {names!r}; give names.")
    return tuple(dict.fromkeys(found))


def as_settings(pairs: object, option: str) -> tuple[tuple[str, Any], ...]:
    """Values by name; lists become tuples.

    Raises:
        InvalidSetting: a value that a file can't hold.
    """
    try:
        found = dict(pairs)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise InvalidSetting(f"{option} is {pairs!r}; give values by name.") from None
    return tuple((str(name), _plain(value, name)) for name, value in found.items())


def as_axes(pairs: object, option: str) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Several values by name.

    Raises:
        InvalidSetting: no values by name, no list of them, the same twice, or some that a file can't hold.
    """
    found = as_settings(pairs, option)
    for name, values in found:
        if not isinstance(values, tuple) or not values:
            raise InvalidSetting(f"{name} in {option} is {values!r}; give a list of values: [{values!r}].")
        if len({suffix({name: value}) for value in values}) < len(values):
            raise InvalidSetting(f"{name} in {option} is {list(values)!r}; give each value once.")
    return found


def combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the axes' values, by name; the last axis runs fastest. One empty one of no axes."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def suffix(values: Mapping[str, Any]) -> str:
    """How labels name values: "+lr=0.01+hidden=(32,16)"."""
    return "".join(f"+{name}={str(value).replace(' ', '')}" for name, value in values.items())


def _plain(value: object, name: str) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item, name) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidSetting(
        f"{name} is {value!r}; a study holds plain values, which fit into a file: numbers, strings, lists of these. "
        "What needs more is a method of your own: path/to/file.py:Class."
    )


def _range(part: object, option: str) -> range:
    if is_whole(part):
        return range(part, part + 1)
    found = _RANGE.fullmatch(part) if isinstance(part, str) else None
    if found is None:
        raise InvalidSetting(f"{option} has {part!r}; give whole numbers, or ranges such as '100-119'.")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise InvalidSetting(f"{option} has the range {part!r}, which is empty; give the smaller end first.")
    return range(first, last + 1)
