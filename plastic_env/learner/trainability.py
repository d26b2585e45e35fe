"""Trainability rules: how fast newborns and incumbents learn for a while after an edit.

A rule scales what the optimizer changes: w <- w_old + f (w_new - w_old). A parameter takes the larger of
the factors f of its two units, so that newborns' incoming weights (bias included) and outgoing weights go by
the newborns' factor. Optimizer state is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np

from plastic_env.errors import check_number, check_whole


class Trainability(Protocol):
    """A rule, in force for `updates` updates from a cohort's birth."""

    @property
    def updates(self) -> int:
        """For how long."""
        ...

    @property
    def holds_incumbents(self) -> bool:
        """Whether all that was there before the cohort, inputs and head included, stands still meanwhile."""
        ...

    def newborns(self, age: np.ndarray) -> np.ndarray:
        """Factors [...] of the cohort's units at the given ages [...], in updates already made."""
        ...


@dataclass(frozen=True)
class TwoSpeed:
    """Newborns move `r` times as far for `updates` updates (arXiv 2605.15435, Two-Speed).

    Raises:
        InvalidSetting: values below 1.
    """

    r: float = 5.0
    updates: int = 1955

    holds_incumbents = False

    def __post_init__(self) -> None:
        check_number(self, "r", 1)
        check_whole("updates", self.updates)

    def newborns(self, age: np.ndarray) -> np.ndarray:
        """r, at any age [...]."""
        return np.full(age.shape, self.r)


@dataclass(frozen=True)
class FreezeIncumbents:
    """Only newborns learn for `updates` updates.

    Raises:
        InvalidSetting: values below 1.
    """

    updates: int = 500

    holds_incumbents = True

    def __post_init__(self) -> None:
        check_whole("updates", self.updates)

    def newborns(self, age: np.ndarray) -> np.ndarray:
        """1, at any age [...]."""
        return np.ones(age.shape)


@dataclass(frozen=True)
class AgedRate:
    """Newborns start at `r` times the learning rate, which decays to 1 with their age: 1 + (r - 1) exp(-age / tau)
    (per-age learning rates as in Yuan et al. 2023, with an exponential in place of their norm ratio).

    Raises:
        InvalidSetting: r below 1, or a tau that isn't positive.
    """

    r: float = 5.0
    tau: float = 500.0

    holds_incumbents = False

    def __post_init__(self) -> None:
        check_number(self, "r", 1)
        check_number(self, "tau", 0, ends="(]")

    @property
    def updates(self) -> int:
        """Until the excess has decayed to 5e-5 of its start."""
        return ceil(10 * self.tau)

    def newborns(self, age: np.ndarray) -> np.ndarray:
        """1 + (r - 1) exp(-age / tau), at each age [...]."""
        return 1 + (self.r - 1) * np.exp(-age / self.tau)


TRAINABILITY: dict[str, Trainability | None] = {
    "none": None,
    "two_speed": TwoSpeed(),
    "freeze_incumbents": FreezeIncumbents(),
    "aged_rate": AgedRate(),
    "two_speed_brief": TwoSpeed(updates=50),  # an eighth of a cycle of 400 updates, as 1,955 are of the paper's
}


@dataclass(frozen=True)
class Phase:
    """A rule in force: for the cohort of that number, born at the update `since`."""

    rule: Trainability
    cohort: int
    since: int

    def over(self, now: int) -> bool:
        """Whether it has ended by the update `now`."""
        return now >= self.since + self.rule.updates


def unit_factors(phases: tuple[Phase, ...], cohorts: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Factors [k, units] of units of the given cohorts at the updates `steps` [k].

    Where phases overlap, a unit that any of them holds still stands still; else the fastest one counts.
    """
    factors = np.ones((len(steps), len(cohorts)))
    held = np.zeros(factors.shape, dtype=bool)
    for phase in phases:
        active = (steps < phase.since + phase.rule.updates)[:, None]
        speed = phase.rule.newborns(steps - phase.since)[:, None]
        member, before = cohorts == phase.cohort, cohorts < phase.cohort
        factors = np.where(active & member, np.maximum(factors, speed), factors)
        if phase.rule.holds_incumbents:
            held |= active & before
    return np.where(held, 0.0, factors)
