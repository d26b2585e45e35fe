"""Methods by what people write: a name, a class of their own, a learned policy, each with options."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from plastic_env.agents import METHODS, Method
from plastic_env.agents.integration import Schedule
from plastic_env.agents.learned import policy
from plastic_env.agents.structural import TARGET, CubicPrune, Grow, Prune
from plastic_env.errors import AgentError, FileError, InvalidSetting, PlasticEnvError, look_up
from plastic_env.learner.settings import LearnerSettings
from plastic_env.plain import describe, named_value
from plastic_env.study.modules import load_file, told

ENTRY_POINTS = "plastic_env.agents"  # the group by which installed packages offer agents
FORMS = "a name; path/to/file.py:Class or package.module:Class; ppo:FILE, cma:FILE or fixed:FILE"
_PROTOCOL = ("reset", "act")  # what an agent has
_WRITTEN = re.compile(r"(?P<name>.*?)(?P<options>(\+[A-Za-z_]\w*(=[^+]*)?)*)", re.DOTALL)


class Found(NamedTuple):
    """A method that was asked for.

    label: how results name it. method: what is run. source: what decides results besides the project's own code: the
        text of the agent's module, or a digest of the policy's file.
    """

    label: str
    method: Method
    source: str = ""


def find_method(written: str, given: Mapping[str, Any] | None = None) -> Found:
    """The method that somebody has written down, with the options `given` where it names none of its own.

    It is one of `METHODS`; "path/to/file.py:Class" or "package.module:Class", an agent of the user's own; "ppo:FILE",
    "cma:FILE" or "fixed:FILE", a learned policy; or what an installed package offers in the entry-point group
    "plastic_env.agents", an agent class or a `Method`. Each may be followed by options (see `Method.varied`), as in
    "grow+trainability=two_speed+events=5".

    A class of the user's own follows the `Agent` protocol, can be made without arguments, and may have an attribute
    `learner` (`LearnerSettings`). A run is identified by the text of its module and its fields, if it is a dataclass;
    of other files that it reads, nothing is known: after a change to these, run with `overwrite`.

    Raises:
        UnknownName: no such method or option. AgentError: it can't be loaded, or is no agent.
    """
    name, own = _split(written)
    found, options = _find(name), {**(given or {}), **own_options(written)}
    if not options:
        return found
    try:
        varied = found.method.varied(**options)
        describe(varied.make())
    except PlasticEnvError:
        raise
    except Exception as error:
        raise AgentError(f"{name!r} refuses the options {options}: {told(error)}") from error
    return Found(found.label + own, varied, found.source)


def own_options(written: str) -> dict[str, Any]:
    """The options that somebody has written behind a method's name."""
    name, own = _split(written)
    return dict(named_value(option, f"{name}+") for option in own[1:].split("+")) if own else {}


def check_possible(label: str, method: Method) -> None:
    """Raise `InvalidSetting` if a method is to grow or prune to a width on whose wrong side it begins."""
    agent, live = method.make(), method.learner.live
    target = getattr(agent, "target", TARGET)
    ends = [target] if isinstance(target, (int, float)) else list(target)
    grows = isinstance(agent, Grow) or (isinstance(agent, Schedule) and not agent.recycle)
    if isinstance(agent, (Prune, CubicPrune)) and not min(ends) < live:
        raise InvalidSetting(
            f"{label} prunes to target={target} of the slots, but begins with live={live}: nothing would be pruned. "
            "Choose a target below live, or more live units."
        )
    if grows and not live < max(ends) <= 1:
        raise InvalidSetting(
            f"{label} grows to target={target} of the slots, but begins with live={live}. "
            "Choose a target above live and of at most 1, or fewer live units."
        )


def around_file(written: str) -> tuple[str, str, str] | None:
    """What somebody has written before the path of a method's file, the path, and the rest; None if it is of no file
    of its own, but known by name or from a module."""
    name, options = _split(written)
    kind, _, policy_file = name.partition(":")
    place, colon, class_name = name.rpartition(":")
    if policy_file and kind in policy.KINDS:
        return f"{kind}:", policy_file, options
    if place.endswith(".py"):
        return "", place, f"{colon}{class_name}{options}"
    return None


def module_of(written: str) -> str | None:
    """The name of the module that a method is from, if somebody has written package.module:Class."""
    place, colon, _ = _split(written)[0].rpartition(":")
    return place if colon and around_file(written) is None else None


def _split(written: str) -> tuple[str, str]:
    """The method's name and what is written behind it."""
    parts = _WRITTEN.fullmatch(written)
    assert parts is not None  # anything at all has that form
    return parts["name"], parts["options"]


def offered() -> dict[str, importlib.metadata.EntryPoint]:
    """The agents that installed packages offer, by name."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _find(name: str) -> Found:
    learned = policy.method_of(name)
    if learned is not None:
        return Found(*learned)
    if name in METHODS:
        return Found(name, METHODS[name])
    place, colon, class_name = name.rpartition(":")
    if colon:
        module = (
            _load_file(place, f"the agent {class_name}") if place.endswith(".py") else _load_module(place, class_name)
        )
        return Found(class_name, _method(getattr(module, class_name, None), module, name), _text(module))
    if name.endswith(".py"):
        found = ", ".join(_agents_in(_load_file(name, "an agent")))
        raise AgentError(
            f"{name!r} names a file, not an agent; give {name}:Class. Such classes there: {found or 'none'}."
        )
    if name in policy.KINDS:
        raise AgentError(
            f"{name!r} names no policy; give {name}:FILE, or train one: python -m {policy.PACKAGE}.{name}."
        )
    entries = offered()
    if name not in entries:
        look_up(dict.fromkeys((*METHODS, *entries)), name, f"method (it is {FORMS})")
    return _offered(entries[name])


def _offered(entry: importlib.metadata.EntryPoint) -> Found:
    """What a package offers."""
    try:
        thing = entry.load()
        module = importlib.import_module(entry.module)
    except (Exception, SystemExit) as error:
        raise AgentError(f"The agent {entry.name!r} ({entry.value}) can't be imported: {told(error)}") from error
    made = thing if isinstance(thing, Method) else _method(thing, module, entry.name)
    return Found(entry.name, made, _text(module))


def _method(agent: Any, module: ModuleType, name: str) -> Method:
    """A method of an agent class."""
    if not isinstance(agent, type) or not _acts(agent):
        lacking = [part for part in _PROTOCOL if not callable(getattr(agent, part, None))]
        why = f" {agent.__name__} lacks {' and '.join(lacking)}." if isinstance(agent, type) else ""
        raise AgentError(
            f"{name!r} names no agent class with the methods reset(episode, seed) and act(observation, info).{why} "
            f"Such classes there: {', '.join(_agents_in(module)) or 'none'}."
        )
    try:
        describe(agent())
    except Exception as error:
        raise AgentError(f"{name!r} can't be made without arguments: {told(error)}") from error
    learner = getattr(agent, "learner", LearnerSettings())
    if not isinstance(learner, LearnerSettings):
        raise AgentError(f"learner of {name!r} is {learner!r}; give plastic_env.LearnerSettings(...).")
    return Method((agent.__doc__ or name).strip().splitlines()[0], agent, learner)


def _acts(thing: object) -> bool:
    return all(callable(getattr(thing, part, None)) for part in _PROTOCOL)


def _agents_in(module: ModuleType) -> list[str]:
    return [name for name, thing in vars(module).items() if isinstance(thing, type) and _acts(thing)]


def _load_module(place: str, class_name: str) -> ModuleType:
    if not all(part.isidentifier() for part in place.split(".")):
        raise AgentError(f"{place}:{class_name} is no agent; a method is {FORMS}.")
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise AgentError(f"The module {place} of {class_name} can't be imported: {told(error)}") from error


def _load_file(place: str, what: str) -> ModuleType:
    try:
        return load_file(Path(place), what)
    except FileError as error:
        raise AgentError(str(error)) from error


def _text(module: ModuleType) -> str:
    return Path(module.__file__).read_text() if module.__file__ else ""
