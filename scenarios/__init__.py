"""Scenarios by name: families of task streams, and the environments made of them."""

from __future__ import annotations

from dataclasses import fields, replace
from inspect import signature
from typing import Any

from plastic_env.env.episode import EpisodeSettings
from plastic_env.env.single import PlasticEnv
from plastic_env.env.vector import PlasticVectorEnv
from plastic_env.errors import look_up
from plastic_env.scenarios import (
    avalanche_classic,
    bit_flipping,
    class_incremental,
    class_pairs,
    domains,
    five_plus_one,
    iid,
    mixed,
    noisy_labels,
    permuted,
    permuted_labels,
    random_labels,
    recurring,
    rotations,
    warm_start,
)
from plastic_env.streams.stream import Scenario

_FAMILIES = (
    *(iid, permuted, permuted_labels, random_labels, noisy_labels, rotations, domains, recurring, mixed),
    *(class_pairs, five_plus_one, class_incremental, warm_start, bit_flipping),
)
SCENARIOS: dict[str, Scenario] = {name: scenario for family in _FAMILIES for name, scenario in family.SETTINGS.items()}
NAMESPACE = "plastic_env"


def find(name: str, **changes: Any) -> Scenario:
    """The scenario called `name` (with or without "plastic_env/"), or "avalanche:NAME" for what a function of
    `avalanche.benchmarks.classic` makes; with some of its settings changed.

    Raises:
        UnknownName: no such scenario (of Avalanche's, this shows when a stream is made), or it has no such setting.
    """
    scenario: Scenario
    if name.startswith(avalanche_classic.PREFIX):
        scenario = avalanche_classic.AvalancheClassic(name.removeprefix(avalanche_classic.PREFIX))
    else:
        scenario = look_up(SCENARIOS, name.removeprefix(f"{NAMESPACE}/"), "scenario")
    known = {field.name: None for field in fields(scenario)}  # type: ignore[arg-type]
    for key in changes:
        look_up(known, key, f"setting of {name}")
    return replace(scenario, **changes)  # type: ignore[type-var]


def make_env(scenario: str, **settings: Any) -> PlasticEnv:
    """The environment behind `gymnasium.make`.

    settings: any setting of the scenario (`tasks=20`), any field of `EpisodeSettings`
        (`boundaries="hidden"`, `learner=LearnerSettings(...)`), any argument of `PlasticEnv`.
    """
    stream, episode, rest = _sort(scenario, settings, PlasticEnv)
    return PlasticEnv(stream, episode, **rest)


def make_vector_env(scenario: str, num_envs: int = 1, **settings: Any) -> PlasticVectorEnv:
    """The vector environment behind `gymnasium.make_vec`.

    settings: as for `make_env`, but arguments of `PlasticVectorEnv`.
    """
    stream, episode, rest = _sort(scenario, settings, PlasticVectorEnv)
    return PlasticVectorEnv(stream, num_envs, episode, **rest)


def _sort(
    name: str, settings: dict[str, Any], kind: type[PlasticEnv | PlasticVectorEnv]
) -> tuple[Scenario, EpisodeSettings, dict[str, Any]]:
    """The scenario and the episode's settings, and what is left for the environment itself."""
    own = {field.name for field in fields(find(name))}  # type: ignore[arg-type]
    living = {field.name for field in fields(EpisodeSettings)}
    scenario = find(name, **{key: value for key, value in settings.items() if key in own})
    episode = EpisodeSettings(**{key: value for key, value in settings.items() if key in living})
    rest = {key: value for key, value in settings.items() if key not in own | living}
    arguments = [each.name for each in signature(kind).parameters.values() if each.kind is each.KEYWORD_ONLY]
    for key in rest:
        look_up(dict.fromkeys((*sorted(own), *sorted(living), *arguments)), key, f"setting of {name}")
    return scenario, episode, rest
