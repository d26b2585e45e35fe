"""Which of a study's settings go to the scenario, to the episode, and to the methods as options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from plastic_env.env.episode import EpisodeSettings
from plastic_env.errors import InvalidSetting, look_up
from plastic_env.scenarios import find
from plastic_env.study.methods import find_method, own_options

if TYPE_CHECKING:
    from plastic_env.study.sweep import Study

_EPISODE = tuple(part.name for part in fields(EpisodeSettings) if part.name != "learner")


class Assigned(NamedTuple):
    """Settings (or axes) by name, sorted by what they belong to.

    scenario, episode: fields of the scenario and of `EpisodeSettings`. options: what is left for the methods.
    """

    scenario: dict[str, Any]
    episode: dict[str, Any]
    options: dict[str, Any]


def assigned(settings: Mapping[str, Any], scenario: str) -> Assigned:
    """What the scenario of this name knows is its own; of the rest, what episodes know is theirs. No data are loaded.

    Raises:
        UnknownName: no such scenario.
    """
    found, own = Assigned({}, {}, {}), _own(scenario)
    for name, value in settings.items():
        place = found.scenario if name in own else found.episode if name in _EPISODE else found.options
        place[name] = value
    return found


def check_known(study: Study, scenario: str, written: str) -> None:
    """Check that a method knows all options that a study has for it on a scenario, and none of its own is to be varied.

    Raises:
        UnknownName: an option that it doesn't know. InvalidSetting: one of its own that is to be varied, or a setting
            to tune that is none of methods.
    """
    method, own, tune = find_method(written).method, own_options(written), dict(study.tune)
    axes = assigned(dict(study.axes), scenario).options
    known = dict.fromkeys((*sorted(_own(scenario)), *_EPISODE, *method.options))
    for option in (*assigned(dict(study.settings), scenario).options, *axes, *tune):
        look_up(known, option, f"setting of {scenario}, of episodes or of the method {written}")
    for option in tune:
        if option not in assigned(tune, scenario).options:
            raise InvalidSetting(f"{option} is a setting of {scenario}; only options of methods can be tuned.")
    for option in own.keys() & {*axes, *tune}:
        raise InvalidSetting(f"{written} has an {option} of its own, which is also to be varied; drop one of them.")


def _own(scenario: str) -> set[str]:
    return {part.name for part in fields(find(scenario))}  # type: ignore[arg-type]
