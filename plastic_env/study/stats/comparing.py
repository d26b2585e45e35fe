"""One method against another: differences, the probability of improvement, performance profiles."""

from __future__ import annotations

import numpy as np

from plastic_env.study.stats.checks import confidence_level, numbers, same_shape
from plastic_env.study.stats.intervals import NAN, Bands, Interval, mean_interval, percentile_interval

RESAMPLED_PROFILES = 2000


def paired_difference(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean of a - b and its percentile bootstrap interval; `a` and `b` [seeds] or [seeds, tasks] share their seeds.

    Percentile rather than BCa: BCa takes its acceleration from as many leave-one-out means as there are seeds, too few
    to know it by, gives none where all differences agree, and covers hardly better where they are skewed and worse
    where they have heavy tails.

    Raises:
        InvalidScores, InvalidSetting: NaN, shapes that differ or aren't allowed, a confidence outside of (0, 1).
    """
    a, b = (numbers(name, values, "seeds", "seeds, tasks") for name, values in (("a", a), ("b", b)))
    same_shape(a=a, b=b)
    return mean_interval(a - b, confidence)


def probability_of_improvement(x: np.ndarray, y: np.ndarray, confidence: float = 0.95) -> Interval:
    """P(X > Y) + P(X = Y) / 2 for runs of two methods drawn at random, averaged over tasks (Agarwal et al. 2021).

    Args:
        x, y: [runs] or [runs, tasks], higher is better; each may have another number of runs.
        confidence: of the percentile bootstrap interval, which draws the runs of each method and task independently.

    Raises:
        InvalidScores, InvalidSetting: NaN, numbers of tasks that differ, a confidence outside of (0, 1).
    """
    x, y = (numbers(name, values, "runs", "runs, tasks") for name, values in (("x", x), ("y", y)))
    same_shape(**{"x without its runs": x[0], "y without its runs": y[0]})
    confidence_level(confidence)
    strata = [*np.atleast_2d(x.T), *np.atleast_2d(y.T)]  # [runs] each
    value = float(_improvement(*strata))
    if min(len(x), len(y)) < 2:
        return Interval(value, NAN, NAN)
    low, high = percentile_interval(strata, _improvement, confidence, size=len(x) * len(y))
    return Interval(value, float(low), float(high))


def performance_profile(scores: np.ndarray, taus: np.ndarray, confidence: float = 0.95) -> Bands:
    """Fraction of `scores` [runs] or [runs, tasks] above each of `taus` [points] (Agarwal et al. 2021, section 4.2).

    The band is pointwise, by percentile bootstrap within each task; NaN where one run allows none.

    Raises:
        InvalidScores, InvalidSetting: NaN, other shapes, a confidence outside of (0, 1).
    """
    scores, taus = numbers("scores", scores, "runs", "runs, tasks"), numbers("taus", taus, "points")
    confidence_level(confidence)
    above = np.atleast_2d(scores.T)[:, None] > taus[:, None]  # [tasks, points, runs]
    fraction = above.mean((0, 2))
    if len(scores) < 2:
        return Bands(fraction, np.full_like(fraction, NAN), np.full_like(fraction, NAN))
    return Bands(fraction, *percentile_interval(list(above), _mean_of_all, confidence, RESAMPLED_PROFILES))


def _improvement(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    """Strata [..., runs]: the tasks of x, then those of y."""
    half = len(strata) // 2
    won = []
    for mine, theirs in zip(strata[:half], strata[half:], strict=True):
        gap = mine[..., :, None] - theirs[..., None, :]
        won.append((np.sign(gap).mean((-2, -1)) + 1) / 2)
    return np.mean(won, axis=0)


def _mean_of_all(*strata: np.ndarray, axis: int) -> np.ndarray:
    return np.mean([stratum.mean(axis) for stratum in strata], axis=0)
