"""For RL libraries: a menu turns actions into numbers, observations become flat vectors.

`Choices` and `Features` hold the rules, for one learner or for many; the Gymnasium wrappers, the adapter of
`plastic_env.agents.learned.sb3` and learned agents all use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from plastic_env.env.encoding import GLOBAL_FIELDS, LAYER_FIELDS, Action, EpisodeSpec, Observation
from plastic_env.errors import InvalidAction, InvalidSetting, is_whole, look_up
from plastic_env.learner.edits import KINDS

_OF = {"grow": "slots", "prune": "live units", "recycle": "live units"}  # what fractions are fractions of
_SPACE: TypeAlias = spaces.Discrete | spaces.MultiDiscrete


@dataclass(frozen=True)
class Item:
    """One edit of a menu.

    name: for people. wanted: arguments of `EpisodeSpec.action`; a count that is a float is a fraction, of the slots for
        `grow`, of the live units for `prune` and `recycle`, and at least one unit unless it is 0.

    Raises:
        InvalidSetting: counts that are neither units nor fractions, or a budget, which is for the menu to list.
    """

    name: str
    wanted: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in KINDS:
            for count in np.ravel(self.wanted.get(kind, 0)).tolist():
                if not (is_whole(count) or (isinstance(count, float) and 0 <= count <= 1)):
                    raise InvalidSetting(
                        f"{self.name!r} wants to {kind} {count!r}; give a whole number of units, or a fraction of the "
                        f"{_OF[kind]} from 0.0 to 1.0."
                    )
        if "budget" in self.wanted:
            raise InvalidSetting(f"{self.name!r} names a budget; list budgets in Menu(budgets=...).")


@dataclass(frozen=True)
class Menu:
    """What a policy may choose from: an edit and a budget.

    items: edits; policies with ordinal heads expect them in order, from the weakest to the strongest.
    budgets: updates to train, each with any of the edits, ascending; None: `max_budget`, which ends at the next shift.

    Raises:
        InvalidSetting: no items, two of one name, or budgets that are no whole numbers of at least 1.
    """

    items: tuple[Item, ...]
    budgets: tuple[int | None, ...] = (None,)

    def __post_init__(self) -> None:
        names = [item.name for item in self.items]
        if not names or len(set(names)) < len(names):
            raise InvalidSetting(f"The menu's items are called {names}; give at least one, and no name twice.")
        if not self.budgets or not all(budget is None or is_whole(budget, 1) for budget in self.budgets):
            raise InvalidSetting(f"The menu's budgets are {self.budgets!r}; give whole numbers of at least 1, or None.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many edits and, if there is more than one, how many budgets there are to choose from."""
        return (len(self.items), len(self.budgets))[: 1 + (len(self.budgets) > 1)]


def recycling_menu(
    fractions: Sequence[float] = (0.05, 0.125, 0.25, 0.5, 0.9),
    optimizer_states: Sequence[str] = ("fresh",),
    budgets: tuple[int | None, ...] = (4, 16, None),
) -> Menu:
    """Waiting, and recycling ever larger fractions of the least useful units, with fresh weights.

    The short budgets are for a look at a new task before deciding; `optimizer_states` are names in `OPTIMIZER_STATES`.
    """
    items = [Item("wait")]
    for fraction in fractions:
        for state in optimizer_states:
            name = f"recycle {fraction:g}" + ("" if state == "fresh" else f" {state}")
            rules = {"recycle_rule": "utility", "insertion": "fresh", "optimizer_state": state}
            items.append(Item(name, {"recycle": float(fraction), **rules}))
    return Menu(tuple(items), budgets)


@dataclass(frozen=True)
class Choices:
    """A menu as it applies to learners of one kind.

    menu: what there is to choose from. episode: whom its actions are for.

    A choice is a number (which item) or two (item, budget). Counts are cut to what is possible; an edit of which
    nothing is left is the same as waiting, and masked.

    Raises:
        UnknownName, InvalidAction: an item or a budget that is no action of such episodes.
        InvalidSetting: no `Menu`.
    """

    menu: Menu
    episode: EpisodeSpec

    def __post_init__(self) -> None:
        if not isinstance(self.menu, Menu):
            raise InvalidSetting(f"menu is {self.menu!r}; give Menu(...), such as recycling_menu() makes.")
        _ = self._templates, self._budgets  # complain now

    @property
    def space(self) -> _SPACE:
        """`Discrete(items)`, or `MultiDiscrete([items, budgets])` if there is more than one budget."""
        sizes = self.menu.sizes
        return spaces.Discrete(sizes[0]) if len(sizes) == 1 else spaces.MultiDiscrete(list(sizes))

    def action(self, choice: Any, live: np.ndarray) -> Action:
        """The action that a choice stands for, given the live units [layers].

        Raises:
            InvalidAction: there is no such choice.
        """
        index = np.atleast_1d(choice)
        sizes = self.menu.sizes
        if index.shape != (len(sizes),) or not all(0 <= at < size for at, size in zip(index, sizes, strict=True)):
            raise InvalidAction(f"The choice is {choice!r}; give whole numbers from 0, below {list(sizes)}.")
        item, budget = int(index[0]), int(index[1]) if len(sizes) > 1 else 0
        return {**self._templates[item], **self.counts(item, live), "budget": self._budgets[budget]}

    def counts(self, item: int, live: np.ndarray) -> dict[str, np.ndarray]:
        """By kind of edit, the units [..., layers] that an item stands for, given the live ones [..., layers]."""
        live, slots, wanted = np.asarray(live), np.array(self.episode.capacity), self.menu.items[item].wanted
        prune = np.minimum(_units(wanted.get("prune", 0), live), live - 1)
        donors = int(wanted.get("optimizer_state") == "transplant")
        recycle = np.minimum(_units(wanted.get("recycle", 0), live), live - prune - donors)
        grow = np.minimum(_units(wanted.get("grow", 0), slots), slots - live + prune)
        return {"grow": grow, "prune": prune, "recycle": recycle}

    def masks(self, live: np.ndarray) -> np.ndarray:
        """Which choices are possible, bool [..., items (+ budgets)], given the live units [..., layers]: an item is if
        at least one unit is left of each of its counts. All budgets are."""
        live = np.asarray(live)
        found = np.ones((*live.shape[:-1], sum(self.menu.sizes)), dtype=bool)
        for at, item in enumerate(self.menu.items):
            counts = self.counts(at, live)
            for kind in KINDS:
                if np.any(item.wanted.get(kind, 0)):
                    found[..., at] &= counts[kind].any(-1)
        return found

    @cached_property
    def _templates(self) -> list[Action]:
        found: list[Action] = []
        for item in self.menu.items:
            wanted = {**item.wanted, **self.counts(len(found), np.array(self.episode.live))}
            found.append(self.episode.action(**wanted))
        return found

    @cached_property
    def _budgets(self) -> list[int]:
        return [self.episode.action(budget)["budget"] for budget in self.menu.budgets]


@dataclass(frozen=True)
class Features:
    """Observations as vectors.

    names: what they hold, in order: a global field ("accuracy"), a field of one editable layer ("layer0.dormant"), or
        its mean over them ("mean.dormant"). layers: how many layers there are.

    Raises:
        UnknownName: there is no such field.
    """

    names: tuple[str, ...]
    layers: int

    def __post_init__(self) -> None:
        _ = self._columns  # complain now

    @staticmethod
    def all(layers: int) -> Features:
        """Every field: the global ones, then layer by layer, as `GLOBAL_FIELDS` and `LAYER_FIELDS` list them."""
        return Features(_flat_names(layers), layers)

    def of(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """[..., names] float32, of one observation or a stack of them."""
        layers = observation["layers"]
        flat = layers.reshape(*layers.shape[:-2], -1)
        whole = np.concatenate([observation["global"], flat, layers.mean(-2)], -1)
        return whole[..., self._columns].astype(np.float32)

    def box(self, space: spaces.Space[Any]) -> spaces.Box:
        """The space of such vectors, given that of observations."""
        assert isinstance(space, spaces.Dict)
        parts = {name: part for name, part in space.items() if isinstance(part, spaces.Box)}
        low, high = (self.of({name: getattr(part, end) for name, part in parts.items()}) for end in ("low", "high"))
        return spaces.Box(low, high)

    @cached_property
    def _columns(self) -> np.ndarray:
        known = {name: at for at, name in enumerate((*_flat_names(self.layers), *(f"mean.{n}" for n in LAYER_FIELDS)))}
        return np.array([look_up(known, name, "field of observations") for name in self.names], dtype=np.int64)


class MenuActions(gymnasium.ActionWrapper[Observation, Any, Action], RecordConstructorArgs):
    """Lets agents choose from a menu: actions are `Discrete`, or `MultiDiscrete` (edit, budget).

    menu: None for `recycling_menu()`.

    >>> env = MenuActions(gymnasium.make("plastic_env/MixedShiftsDigits-small-v0"))    # doctest: +SKIP
    """

    def __init__(self, env: gymnasium.Env[Observation, Action], menu: Menu | None = None) -> None:
        RecordConstructorArgs.__init__(self, menu=menu)
        gymnasium.ActionWrapper.__init__(self, env)
        episode = env.get_wrapper_attr("episode")
        self.choices = Choices(menu or recycling_menu(), episode)
        self.action_space = self.choices.space
        self._live = np.array(episode.live)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new life."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._live = info["live"]
        return observation, info

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Do what was chosen."""
        *found, info = super().step(action)
        self._live = info["live"]
        return *found, info  # type: ignore[return-value]

    def action(self, action: Any) -> Action:
        """The environment's own action."""
        return self.choices.action(action, self._live)

    def action_masks(self) -> np.ndarray:
        """Which choices are possible now, bool [items (+ budgets)]: sb3-contrib's convention. It follows from the
        number of live units alone."""
        return self.choices.masks(self._live)


class FlattenObservations(gymnasium.ObservationWrapper[np.ndarray, Any, Observation], RecordConstructorArgs):
    """Observations as one float32 vector in [-1, 1]; `env.fields` names its elements.

    fields: which, in which order (see `Features`); None for all.
    """

    def __init__(self, env: gymnasium.Env[Observation, Any], fields: Sequence[str] | None = None) -> None:
        RecordConstructorArgs.__init__(self, fields=fields)
        gymnasium.ObservationWrapper.__init__(self, env)
        layers = len(env.get_wrapper_attr("episode").capacity)
        self.features = Features.all(layers) if fields is None else Features(tuple(fields), layers)
        self.observation_space = self.features.box(env.observation_space)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the vector's elements."""
        return self.features.names

    def observation(self, observation: Observation) -> np.ndarray:
        """The vector."""
        return self.features.of(observation)


def _units(wanted: Any, whole: np.ndarray) -> np.ndarray:
    """Units [..., layers]: fractions of `whole` [..., layers], or counts as they are; one value or one per layer."""
    given = np.asarray(wanted)
    if given.dtype.kind != "f":
        return given + np.zeros_like(whole)
    return np.where(given > 0, np.maximum(1, np.round(given * whole)), 0).astype(np.int64)


def _flat_names(layers: int) -> tuple[str, ...]:
    return (*GLOBAL_FIELDS, *(f"layer{layer}.{name}" for layer in range(layers) for name in LAYER_FIELDS))
