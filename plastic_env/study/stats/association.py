"""Whether two measures of methods go together."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from plastic_env.errors import InvalidScores
from plastic_env.study.stats.checks import confidence_level, numbers, same_shape
from plastic_env.study.stats.intervals import NAN, RESAMPLES, Interval


def rank_correlation(x: np.ndarray, y: np.ndarray, confidence: float = 0.95) -> Interval:
    """Spearman's rho between the means over seeds of `x` and of `y`, both [seeds, methods]; ties share their ranks.

    The interval is a percentile bootstrap over seeds: methods stay, so that it tells how well these methods' order is
    known, not how another choice of methods would come out. NaN where one of the two is the same for all methods.

    Raises:
        InvalidScores: NaN, shapes that differ, fewer than three methods.
        InvalidSetting: a confidence outside of (0, 1).
    """
    value, draws = _correlations(x, y)
    return _interval(value, draws, confidence)


def rank_correlation_gap(x: np.ndarray, y: np.ndarray, z: np.ndarray, confidence: float = 0.95) -> Interval:
    """How much closer `x` goes with `y` than with `z`, all [seeds, methods]: the difference of the two rhos, on the
    same draws of seeds.

    Raises:
        InvalidScores, InvalidSetting: as `rank_correlation`.
    """
    (first, draws), (second, others) = _correlations(x, y), _correlations(x, z)
    return _interval(first - second, draws - others, confidence)


def _correlations(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Rho, and rho for each draw of seeds."""
    x, y = numbers("x", x, "seeds, methods"), numbers("y", y, "seeds, methods")
    same_shape(x=x, y=y)
    if x.shape[1] < 3:
        raise InvalidScores(f"There are {x.shape[1]} methods; give at least three, whose order can be compared.")
    seeds = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    return float(_rho(x.mean(0), y.mean(0))), _rho(x[seeds].mean(1), y[seeds].mean(1))


def _rho(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of [..., methods]."""
    ranks = (rankdata(values, axis=-1) for values in (x, y))
    a, b = (rank - rank.mean(-1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))


def _interval(value: float, draws: np.ndarray, confidence: float) -> Interval:
    tail = (1 - confidence_level(confidence)) / 2
    if np.ptp(draws) == 0 or np.isnan(draws).all():
        return Interval(value, NAN, NAN)
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
