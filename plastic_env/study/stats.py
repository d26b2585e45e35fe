"""Statistics over seeds: arrays in, arrays out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean and its interval; the ends are NaN where one seed allows none."""

    mean: float
    low: float
    high: float


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean of `values` [seeds] and its percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    The resampling is seeded: the same values give the same interval.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def mean_bands(curves: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of `curves` [seeds, points] at each point, with a percentile bootstrap band: three arrays [points]."""
    mean = curves.mean(0)
    if len(curves) < 2:
        return mean, mean, mean
    rows = np.random.default_rng(0).integers(len(curves), size=(1000, len(curves)))
    means = curves[rows].mean(1)  # [resamples, points]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return mean, low, high


def fifths(accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of `accuracy` [..., updates] over the first and over the last fifth of the updates."""
    updates = accuracy.shape[-1]
    fifth = max(1, updates // 5)
    return accuracy[..., :fifth].mean(-1), accuracy[..., updates - fifth :].mean(-1)
