"""Rewards: what a step was worth, as a function of what happened in it."""

from __future__ import annotations

from collections.abc import Callable

from plastic_env.env.episode import Outcome
from plastic_env.errors import look_up

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
    """
    if callable(reward):
        return reward
    return look_up(REWARDS, reward, "reward")


REWARDS: dict[str, Reward] = {"online_accuracy": online_accuracy}
