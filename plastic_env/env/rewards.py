"""Rewards: what a step was worth, as a function of what happened in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from plastic_env.env.episode import Outcome
from plastic_env.errors import InvalidSetting, look_up

Reward = Callable[[Outcome], float]


def online_accuracy(outcome: Outcome) -> float:
    """The step's share of TAOA: the accuracy of its batches, each before it was trained on, times what they count for
    the stream's score. The return of an episode is its TAOA (arXiv 2605.15435); updates that a diverged learner never
    reached count 0."""
    return float(outcome.accuracy @ outcome.weights)


def find_reward(reward: str | Reward) -> Reward:
    """The reward called `reward`; a function is returned as it is.

    Raises:
        UnknownName: no such reward.
        InvalidSetting: a function that can't be called with an outcome alone.
    """
    if callable(reward):
        _check_takes_outcome(reward)
        return reward
    return look_up(REWARDS, reward, "reward")


def worth(reward: Reward, outcome: Outcome) -> float:
    """What a step was worth by a reward.

    Raises:
        InvalidSetting: the reward returned something else than one number.
    """
    found: Any = reward(outcome)
    if not isinstance(found, (Real, np.bool_, np.ndarray, Tensor)) or getattr(found, "ndim", 0) > 0:
        raise InvalidSetting(f"The reward {_name(reward)} returned {found!r}; let it return a number.")
    return float(found)


def _check_takes_outcome(reward: Reward) -> None:
    try:
        signature = inspect.signature(reward)
    except ValueError:  # built-in functions that don't tell theirs
        return
    try:
        signature.bind("an outcome")
    except TypeError as error:
        raise InvalidSetting(
            f"The reward {_name(reward)}{signature} can't be called with an outcome alone ({error}); give a function "
            "of one Outcome that returns a number, such as lambda outcome: outcome.accuracy.mean()."
        ) from error


def _name(reward: Reward) -> str:
    return getattr(reward, "__name__", type(reward).__name__)


REWARDS: dict[str, Reward] = {"online_accuracy": online_accuracy}
