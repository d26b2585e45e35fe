"""Means over runs and their intervals, by bootstrap.

Scores are [runs] or [runs, tasks]; a run is one seed. The bootstrap is stratified: it draws runs anew within each task,
independently (Agarwal et al. 2021, arXiv 2108.13264, section 4). It is seeded: equal values give an equal interval.
Its percentile intervals are somewhat too narrow where there are only a few runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap, trim_mean

from plastic_env.study.stats.checks import confidence_level, numbers

RESAMPLES = 10_000
RESAMPLED_CURVES = 1000
AT_ONCE = 1_000_000  # values of resamples that are held in memory together
NAN = float("nan")


class Interval(NamedTuple):
    """A mean and the ends of its interval, low and high; these are NaN where one run allows none."""

    mean: float
    low: float
    high: float


class Bands(NamedTuple):
    """Means along a curve and their intervals: three arrays [points], the mean and the ends low and high."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean of `scores` [runs] or [runs, tasks] and its percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    Raises:
        InvalidScores, InvalidSetting: scores that are NaN or of another shape, a confidence outside of (0, 1).
    """
    return _pooled_interval(scores, np.mean, confidence)


def iqm_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interquartile mean of all `scores` [runs] or [runs, tasks] and its percentile bootstrap interval.

    It leaves out the lowest and the highest quarter, each rounded down to whole scores (Agarwal et al. 2021).

    Raises:
        InvalidScores, InvalidSetting: as `mean_interval`.
    """
    return _pooled_interval(scores, _iqm, confidence)


def mean_bands(curves: np.ndarray, confidence: float = 0.95) -> Bands:
    """Mean of `curves` [runs, points] at each point, and a percentile bootstrap band over whole curves.

    The band of a single curve is as narrow as the curve.

    Raises:
        InvalidScores, InvalidSetting: as `mean_interval`.
    """
    curves = numbers("curves", curves, "runs, points")
    confidence_level(confidence)
    mean = curves.mean(0)
    if len(curves) < 2:
        return Bands(mean, mean, mean)
    return Bands(mean, *percentile_interval([curves.T], np.mean, confidence, RESAMPLED_CURVES))


def percentile_interval(
    samples: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    confidence: float,
    resamples: int = RESAMPLES,
    size: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the percentile bootstrap interval of `statistic(*samples, axis)`.

    samples: one [..., runs] for each stratum, whose runs are drawn independently of the other strata's.
    size: how many values the statistic holds for one resample, if more than the samples.
    """
    size = max(size, sum(sample.size for sample in samples))
    found = bootstrap(
        tuple(samples),
        statistic,
        n_resamples=resamples,
        batch=max(1, AT_ONCE // size),
        vectorized=True,
        axis=-1,
        confidence_level=confidence_level(confidence),
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return found.low, found.high


def _pooled_interval(scores: np.ndarray, average: Callable[..., np.ndarray], confidence: float) -> Interval:
    """The average of all scores together."""
    scores = numbers("scores", scores, "runs", "runs, tasks")
    confidence_level(confidence)

    def of_all(*tasks: np.ndarray, axis: int = -1) -> np.ndarray:
        return average(np.concatenate(tasks, axis=axis), axis=axis)

    strata = list(np.atleast_2d(scores.T))  # of each task [runs]
    value = float(of_all(*strata))
    if len(scores) < 2:
        return Interval(value, NAN, NAN)
    low, high = percentile_interval(strata, of_all, confidence)
    return Interval(value, float(low), float(high))


def _iqm(scores: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(trim_mean(scores, 0.25, axis=axis))
