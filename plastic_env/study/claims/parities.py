"""Parity of the newborns of a run: at birth, early, and at the end of the cycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plastic_env.learner.cohorts import CohortPoint
from plastic_env.study.results import Result

EARLY = 1 / 3  # of a cycle


class Parities(NamedTuple):
    """Log-parities of one run, averaged over cohorts and layers.

    birth_activation, birth_gradient: right after birth. end_gradient: at the end of the cycle, before the next edit.
    early_activation, early_gradient: averaged over the looks in the first third of the cycle after birth, birth
    included.
    """

    birth_activation: float
    birth_gradient: float
    end_gradient: float
    early_activation: float
    early_gradient: float


def parities(result: Result, cycle: int, which: slice = slice(None)) -> Parities:
    """The parities of a run.

    cycle: updates after birth that count. which: of the cohorts, in the order of birth.
    """
    history = result.cohorts()
    cohorts = sorted({point.cohort for point in history.points})[which]
    keys = dict.fromkeys((point.layer, point.cohort) for point in history.points if point.cohort in cohorts)
    lives = [_looks(history.of(*key), cycle) for key in keys]
    early = [[point for point in life if point.age <= EARLY * cycle] for life in lives]
    return Parities(
        birth_activation=_mean([life[0].log_activation_parity for life in lives]),
        birth_gradient=_mean([life[0].log_gradient_parity for life in lives]),
        end_gradient=_mean([life[-1].log_gradient_parity for life in lives]),
        early_activation=_mean([_mean([p.log_activation_parity for p in life]) for life in early]),
        early_gradient=_mean([_mean([p.log_gradient_parity for p in life]) for life in early]),
    )


def by_run(results: Sequence[Result], cycle: int, which: slice = slice(None)) -> dict[str, np.ndarray]:
    """[seeds] of each parity."""
    found = [parities(result, cycle, which) for result in results]
    return {name: np.array([getattr(one, name) for one in found]) for name in Parities._fields}


def _looks(points: Sequence[CohortPoint], until: int) -> list[CohortPoint]:
    """A cohort's points up to an age; of two at one age, which stand on both sides of an edit, the first."""
    first: dict[int, CohortPoint] = {}
    for point in points:
        first.setdefault(point.age, point)
    return [point for age, point in first.items() if age <= until]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
