"""Menus: a few edits and budgets to choose from, as numbers.

`Choices` holds the rules, for one learner or for many; the Gymnasium wrapper, the adapter of
`plastic_env.agents.learned.sb3` and learned agents all use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces

from plastic_env.env.encoding import Action, EpisodeSpec
from plastic_env.errors import InvalidAction, InvalidSetting, is_whole
from plastic_env.learner.edits import KINDS

_OF = {"grow": "slots", "prune": "live units", "recycle": "live units"}  # what fractions are fractions of
_SPACE: TypeAlias = spaces.Discrete | spaces.MultiDiscrete


@dataclass(frozen=True)
class MenuItem:
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

    items: tuple[MenuItem, ...]
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
    items = [MenuItem("wait")]
    for fraction in fractions:
        for state in optimizer_states:
            name = f"recycle {fraction:g}" + ("" if state == "fresh" else f" {state}")
            rules = {"recycle_rule": "utility", "insertion": "fresh", "optimizer_state": state}
            items.append(MenuItem(name, {"recycle": float(fraction), **rules}))
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
        whole = index.dtype.kind in "iu" and index.shape == (len(sizes),)
        if not whole or not all(0 <= at < size for at, size in zip(index, sizes, strict=True)):
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


def _units(wanted: Any, whole: np.ndarray) -> np.ndarray:
    """Units [..., layers]: fractions of `whole` [..., layers], or counts as they are; one value or one per layer."""
    given = np.asarray(wanted)
    if given.dtype.kind != "f":
        return given + np.zeros_like(whole)
    return np.where(given > 0, np.maximum(1, np.round(given * whole)), 0).astype(np.int64)
