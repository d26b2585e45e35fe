"""Cohorts through life: parity from birth on, and how long integration takes, as censored survival data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from plastic_env.errors import InvalidSetting
from plastic_env.learner.diagnostics import LOG_PARITY_LIMIT
from plastic_env.learner.state import Units


@dataclass(frozen=True)
class CohortPoint:
    """One cohort in one layer, measured once.

    layer: among the editable ones. age: updates since birth; 0 right after it. live: how many of the cohort are.
    log_activation_parity, log_gradient_parity: against the units that are older than the cohort.
    """

    layer: int
    cohort: int
    age: int
    live: int
    log_activation_parity: float
    log_gradient_parity: float


def cohort_points(layer: int, units: Units, now: int, active: np.ndarray, gradient: np.ndarray) -> list[CohortPoint]:
    """Measure every live cohort that has older units beside it.

    now: the learner's updates. active, gradient: [units] active fraction and mean |dL/dz| of each unit.
    """
    cohorts, index, counts = np.unique(units.cohort, return_inverse=True, return_counts=True)
    older = counts.cumsum() - counts
    parities = []
    for values in (active, gradient):
        sums = np.bincount(index, weights=values)
        parities.append(_log_ratio(sums / counts, (sums.cumsum() - sums) / np.maximum(older, 1)))
    born = np.zeros(len(cohorts), dtype=np.int64)
    born[index] = units.born
    return [
        CohortPoint(layer, int(cohorts[at]), int(now - born[at]), int(counts[at]), *(float(p[at]) for p in parities))
        for at in np.flatnonzero(older > 0)
    ]


def unit_parities(units: Units, values: np.ndarray) -> np.ndarray:
    """[units] log of each unit's value over the mean of the units older than its cohort, or over the mean of its own
    cohort if none is older. The ratios of a cohort's units have its parity as their mean, within limits.

    values: [units] mean |dL/dz| or active fraction of each.
    """
    _, index, counts = np.unique(units.cohort, return_inverse=True, return_counts=True)
    totals, sums = counts.cumsum(), np.bincount(index, weights=values).cumsum()
    means = sums / totals  # of each cohort and those before it
    return _log_ratio(values, means[np.maximum(index - 1, 0)])


def _log_ratio(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    tiny = np.finfo(np.float32).tiny
    return np.clip(np.log(values + tiny) - np.log(reference + tiny), -LOG_PARITY_LIMIT, LOG_PARITY_LIMIT)


@dataclass(frozen=True)
class IntegrationTimes:
    """Censored survival data, one entry per cohort and layer; arrays of equal length.

    time: updates from birth until integration or, where `integrated` is False, until the cohort was last seen:
    it takes longer than that. A plain mean of `time` is biased; use a Kaplan-Meier estimate.
    """

    layer: np.ndarray
    cohort: np.ndarray
    time: np.ndarray
    integrated: np.ndarray


@dataclass
class CohortHistory:
    """What became of the cohorts of one learner."""

    points: list[CohortPoint] = field(default_factory=list)  #: in the order in which they were seen

    def of(self, layer: int, cohort: int) -> list[CohortPoint]:
        """One cohort's points, by age."""
        return sorted((p for p in self.points if (p.layer, p.cohort) == (layer, cohort)), key=lambda p: p.age)

    def integration_times(self, threshold: float = 0.5, smoothing: float = 0.5) -> IntegrationTimes:
        """When each cohort's smoothed gradient parity first reached `threshold`.

        Args:
            threshold: a ratio; 1 is parity.
            smoothing: weight of the past in the running mean of log-parities, in [0, 1); 0 takes them as they are.

        Raises:
            InvalidSetting: values outside of these.
        """
        if not (threshold > 0 and 0 <= smoothing < 1):
            raise InvalidSetting(
                f"threshold={threshold!r}, smoothing={smoothing!r}; give a positive ratio and a weight in [0, 1)."
            )
        lives: dict[tuple[int, int], list[CohortPoint]] = {}
        for point in self.points:
            lives.setdefault((point.layer, point.cohort), []).append(point)
        level = float(np.log(threshold))
        passed = [_first_passage(sorted(life, key=lambda p: p.age), level, smoothing) for life in lives.values()]
        whole = np.array([(*key, time) for key, (time, _) in zip(lives, passed, strict=True)], np.int64).reshape(-1, 3)
        integrated = np.array([done for _, done in passed], dtype=bool)
        return IntegrationTimes(whole[:, 0], whole[:, 1], whole[:, 2], integrated)


def _first_passage(points: list[CohortPoint], level: float, smoothing: float) -> tuple[int, bool]:
    smooth = points[0].log_gradient_parity
    for point in points:
        smooth = smoothing * smooth + (1 - smoothing) * point.log_gradient_parity
        if smooth >= level:
            return point.age, True
    return points[-1].age, False
