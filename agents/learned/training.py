"""What all training shares: the split, whole lives of vectorised learners, twins to be compared with, keeping the best.

Training only ever sees seeds from `TRAINING_SEEDS` and `VALIDATION_SEEDS` up, and, of scenarios that have splits,
split="train"; comparisons use seeds from 0 up, and should use split="test".
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from plastic_env.agents.learned.policy import Learned, PolicyNetwork
from plastic_env.env.encoding import GLOBAL_FIELDS, Action, Observation
from plastic_env.env.episode import EpisodeSettings
from plastic_env.env.features import Features
from plastic_env.env.menus import Choices, Menu, recycling_menu
from plastic_env.env.rewards import Reward
from plastic_env.env.vector import PlasticVectorEnv
from plastic_env.errors import (
    InvalidSetting,
    PlasticEnvError,
    check_positive,
    check_whole,
    is_whole,
    is_within,
    look_up,
)
from plastic_env.learner.compute import training_macs
from plastic_env.learner.settings import LearnerSettings
from plastic_env.plain import describe

TRAINING_SEEDS, VALIDATION_SEEDS = 10**6, 2 * 10**6  # the first ones; so many millions no comparison has
Decide = Callable[[Observation, np.ndarray, np.ndarray], Sequence[Action]]


@dataclass(frozen=True)
class Training:
    """On what a policy is trained, and for how long.

    scenario: its name. changes: settings of it that differ from its defaults; a scenario with splits gets "train".
    learner: whom the policy edits. menu: what it may choose from.
    instances, validated: how many seeds there are to train on, and how many others to tell by which policy is best.
    twin: an item of the menu, or "" for none. A learner's twin does nothing but this, at each shift, on the same
        instance. Judgements are told beside its score. PPO rewards the difference to it, which is far less noisy than
        the accuracy itself; CMA-ES needs no such help, since its candidates meet the same instances.
    reward: a name in `REWARDS`, or a function of an `Outcome`; the latter goes without a twin.
    price: what is subtracted from the return for as many multiply-accumulates as training on the whole stream at full
        width takes. Without any, a policy may well decide after each batch: looking costs as much as four of them.
    minutes, rounds: when training ends: whichever comes first; None for no limit.
    seed: the only source of randomness. threads: to train learners with; results don't depend on it.

    Raises:
        UnknownName, InvalidSetting: a name that doesn't exist, a number that makes no sense, a split that isn't for
            training.
    """

    scenario: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    menu: Menu = field(default_factory=recycling_menu)
    instances: int = 32
    validated: int = 16
    twin: str = ""
    reward: str | Reward = "online_accuracy"
    price: float = 0.01
    minutes: float | None = None
    rounds: int | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("instances", "validated", "threads"):
            check_whole(name, getattr(self, name))
        check_whole("seed", self.seed, 0)
        if not is_within(self.price, 0):
            raise InvalidSetting(f"price is {self.price!r}; give a number of at least 0.")
        if self.minutes is None and self.rounds is None:
            raise InvalidSetting("Training would never end; give minutes or rounds.")
        if self.minutes is not None:
            check_positive("minutes", self.minutes)
        if self.rounds is not None:
            check_whole("rounds", self.rounds)
        if self.twin:
            look_up({item.name: None for item in self.menu.items}, self.twin, "item of the menu for the twin")
            if callable(self.reward):
                raise InvalidSetting("A twin is compared with by accuracy; leave it out, or the reward function.")
        _ = self.made_scenario  # complain now

    @cached_property
    def made_scenario(self) -> Any:
        """The scenario, with its changes, and of its splits that for training."""
        name, changes = f"plastic_env/{self.scenario.removeprefix('plastic_env/')}", dict(self.changes)
        look_up({i: None for i in gymnasium.registry if i.startswith("plastic_env/")}, name, "scenario")
        made = _scenario(name, changes)
        if not hasattr(made, "split"):
            return made
        if changes.get("split", "train") != "train":
            raise InvalidSetting(
                f"split is {changes['split']!r}; policies are trained on 'train', and compared on others."
            )
        return _scenario(name, {**changes, "split": "train"})

    def env(self, learners: int, names: Sequence[str]) -> PlasticVectorEnv:
        """So many learners at once. Ranks are measured only if the features called `names` tell of them."""
        ranks = any(name.endswith("effective_rank") for name in names)
        settings = EpisodeSettings(learner=self.learner, ranks=ranks)
        env = PlasticVectorEnv(self.made_scenario, learners, settings, reward=self.reward, threads=self.threads)
        env.reward = self._priced(env)
        return env

    def _priced(self, env: PlasticVectorEnv) -> Reward:
        """The environment's reward, less the price of compute."""
        life, reward = env.lifetime, env.reward
        network = life.population.network
        slots = (network.input_units, *(stage.slots for stage in network.stages))
        whole = life.updates * life.batch_size * training_macs(network, slots)
        return lambda outcome: reward(outcome) - self.price * outcome.macs / whole

    @property
    def seeds(self) -> list[int]:
        """What is trained on."""
        return list(range(TRAINING_SEEDS, TRAINING_SEEDS + self.instances))

    @property
    def validation_seeds(self) -> list[int]:
        """What tells which policy is best."""
        return list(range(VALIDATION_SEEDS, VALIDATION_SEEDS + self.validated))

    def passes(self, rng: np.random.Generator) -> Iterator[int]:
        """The seeds to train on, in endless shuffled passes."""
        while True:
            yield from rng.permutation(self.seeds).tolist()

    @property
    def trained_on(self) -> dict[str, Any]:
        """For the record."""
        name = self.scenario.removeprefix("plastic_env/")
        seeds = {"seeds": [self.seeds[0], self.seeds[-1]]}
        seeds |= {"validation_seeds": [self.validation_seeds[0], self.validation_seeds[-1]]}
        return {
            "scenario": name,
            "split": getattr(self.made_scenario, "split", ""),
            "stream": describe(self.made_scenario),
            **seeds,
        }


def need(library: str) -> None:
    """Refuse kindly if an optional library is missing.

    Raises:
        PlasticEnvError: it is.
    """
    try:
        __import__(library)
    except ImportError as error:
        raise PlasticEnvError(f"Training needs {library}: pip install 'plastic_env[rl]'.") from error


def check_network(hidden: object, names: object) -> None:
    """Raise `InvalidSetting` unless these are widths of hidden layers and names of features."""
    if not isinstance(hidden, (tuple, list)) or not all(is_whole(width, 1) for width in hidden):
        raise InvalidSetting(f"hidden is {hidden!r}; give a tuple of whole numbers of at least 1, such as (32,).")
    if not isinstance(names, (tuple, list)) or not names:
        raise InvalidSetting(f"fields is {names!r}; give a tuple of names, such as ('at_shift', 'accuracy').")


def live(env: PlasticVectorEnv, seeds: Sequence[int], decide: Decide) -> tuple[np.ndarray, np.ndarray]:
    """Whole lives, one per seed, none of them begun again.

    decide: from observations [members, ...], live units [members, layers] and the members [members]: an action each.

    Returns:
        [n] each one's return, and [n, updates] each update's share of it: of TAOA, less its part of what the step cost.
    """
    env.reset(seed=list(seeds))
    life = env.lifetime
    returns, shares = np.zeros(len(life)), np.zeros((len(life), life.updates))
    while not life.over.all():
        members = np.flatnonzero(~life.over)
        units = np.array([life.population.live(member) for member in members.tolist()])
        actions = decide(env.codec.observe_all(members.tolist()), units, members)
        plans = {m: env.codec.decode(m, action)[1] for m, action in zip(members.tolist(), actions, strict=True)}
        for member, outcome in life.step(plans).items():
            reward, share = env.reward(outcome), outcome.accuracy * outcome.weights
            returns[member] += reward
            shares[member, outcome.start : outcome.stop] = share + (reward - share.sum()) / len(share)
    return returns, shares


def following(networks: Sequence[PolicyNetwork], choices: Choices, features: Features) -> Decide:
    """Member i does what `networks[i % len(networks)]` chooses."""

    def decide(seen: Observation, units: np.ndarray, members: np.ndarray) -> list[Action]:
        rows = features.of(seen)
        chosen = [networks[m % len(networks)].choose(row) for m, row in zip(members.tolist(), rows, strict=True)]
        return [choices.action(choice, live) for choice, live in zip(chosen, units, strict=True)]

    return decide


def twins(training: Training, seeds: Sequence[int]) -> dict[int, np.ndarray]:
    """By seed, [updates + 1] the twin's share of the return up to each update; none if training goes without."""
    if not training.twin:
        return {}
    env = training.env(len(seeds), ())
    choices = Choices(Menu(training.menu.items), env.episode)
    item = [item.name for item in training.menu.items].index(training.twin)
    shift, wait = GLOBAL_FIELDS.index("at_shift"), env.episode.action()

    def decide(seen: Observation, units: np.ndarray, members: np.ndarray) -> list[Action]:
        return [
            choices.action(item, live) if at[shift] else wait for at, live in zip(seen["global"], units, strict=True)
        ]

    _, shares = live(env, seeds, decide)
    return dict(zip(seeds, np.pad(shares.cumsum(1), ((0, 0), (1, 0))), strict=True))


class Keeper:
    """Judges policies by whole lives on the validation seeds, and keeps the best one, in a file if there is one.

    method: how they were trained. names: of their features. settings: of the training method, for the record.
    out: the file, which holds the best policy so far at any time; None for none.
    """

    def __init__(
        self, training: Training, method: str, names: tuple[str, ...], settings: Any, out: Path | None
    ) -> None:
        self.training, self.method, self.names, self.settings, self.out = training, method, names, settings, out
        self.env = training.env(training.validated, names)
        self.choices = Choices(training.menu, self.env.episode)
        self.features = Features(names, len(self.env.episode.capacity))
        ends = [curve[-1] for curve in twins(training, training.validation_seeds).values()]
        self.twin_score = float(np.mean(ends)) if ends else None
        self.best: Learned | None = None
        self.score = -np.inf
        self.started = time.monotonic()

    @property
    def time_is_up(self) -> bool:
        """Whether the minutes are used up."""
        minutes = self.training.minutes
        return minutes is not None and self.seconds > 60 * minutes

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.monotonic() - self.started

    def offer(self, network: PolicyNetwork, rounds: int) -> None:
        """Judge a policy, after so many rounds of training."""
        returns, _ = live(self.env, self.training.validation_seeds, following([network], self.choices, self.features))
        score = float(returns.mean())
        new = score >= self.score  # of equals the latest: it has learned for longer
        twin = "" if self.twin_score is None else f", {self.training.twin}: {self.twin_score:.4f}"
        best = " (best so far)" if new else ""
        say(f"round {rounds}, {self.seconds / 60:.1f} min: validation {score:.4f}{twin}{best}")
        if new:
            self.score = score
            self.best = self.learned(network, {"rounds": rounds, "validation": score, "twin": self.twin_score})
            if self.out is not None:
                self.best.save(self.out)

    def learned(self, network: PolicyNetwork, came_of_it: Mapping[str, Any]) -> Learned:
        """The policy, with all that is to be known of it."""
        training, reward = self.training, self.training.reward
        versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
        record = {
            "settings": describe(self.settings),
            "seed": training.seed,
            "twin_item": training.twin,
            "price": training.price,
            "reward": reward if isinstance(reward, str) else getattr(reward, "__name__", "a function"),
            "versions": versions,
            **came_of_it,
        }
        return Learned(
            self.method,
            network,
            training.menu,
            self.names,
            self.env.episode,
            training.learner,
            training.trained_on,
            record,
        )


def say(text: str) -> None:
    """Tell how training goes."""
    print(text, file=sys.stderr, flush=True)


def _scenario(name: str, changes: Mapping[str, Any]) -> Any:
    env = gymnasium.make(name, disable_env_checker=True, **changes)
    return env.unwrapped.lifetime.scenario  # type: ignore[attr-defined]
