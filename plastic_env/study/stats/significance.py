"""Tests of whether two methods differ, all two-sided, and the correction for asking often."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from plastic_env.errors import InvalidScores
from plastic_env.study.stats.checks import numbers, same_shape
from plastic_env.study.stats.intervals import NAN

PERMUTATIONS = 20_000  # up to as many all are tried, else as many drawn
SLACK = 1e-10  # of differences scaled to at most 1: equal ones must not differ by rounding


class Significance(NamedTuple):
    """The difference of two means, and the p-value of there being none; p is NaN where one run allows none."""

    difference: float
    p: float


class Welch(NamedTuple):
    """As `Significance`: difference and p; with the statistic `t` and its degrees of freedom; NaN where undefined."""

    difference: float
    p: float
    t: float
    degrees: float


def welch_test(a: np.ndarray, b: np.ndarray) -> Welch:
    """Welch's t-test of the means of `a` [runs] and `b` [runs] (as in arXiv 2605.15435).

    Where neither varies, p is 1 if they are equal, else 0, the limit.

    Raises:
        InvalidScores: NaN, or another shape.
    """
    a, b = _two_sides(a, b)
    difference = _gap(a, b)
    if min(len(a), len(b)) < 2:
        return Welch(difference, NAN, NAN, NAN)
    parts = np.array([side.var(ddof=1) / len(side) if np.ptp(side) else 0.0 for side in (a, b)])
    if not parts.any():
        t = math.copysign(math.inf, difference) if difference else 0.0
        return Welch(difference, float(difference == 0), t, NAN)
    shares = parts / parts.sum()
    t = difference / math.sqrt(parts.sum())
    degrees = 1 / (shares**2 / (len(a) - 1, len(b) - 1)).sum()
    return Welch(difference, float(2 * stats.t.sf(abs(t), degrees)), t, float(degrees))


def sign_flip_test(a: np.ndarray, b: np.ndarray) -> Significance:
    """Paired permutation test of the mean of a - b; `a` [seeds] and `b` [seeds] share their seeds.

    Exact up to 14 seeds, else of seeded draws, which count the observed signs as one of them.

    Raises:
        InvalidScores: NaN, or shapes that differ or aren't allowed.
    """
    a, b = _two_sides(a, b)
    same_shape(a=a, b=b)
    gaps = a - b
    if len(gaps) < 2:
        return Significance(float(gaps.mean()), NAN)
    scale = np.abs(gaps).max()
    p = _permuted("samples", np.mean, 2 ** len(a), gaps / scale) if scale else 1.0
    return Significance(float(gaps.mean()), p)


def permutation_test(a: np.ndarray, b: np.ndarray) -> Significance:
    """Permutation test of the difference between the means of `a` [runs] and `b` [runs], which are not paired.

    Exact up to 8 against 8 runs, else of seeded draws, which count the observed assignment as one of them.

    Raises:
        InvalidScores: NaN, or another shape.
    """
    a, b = _two_sides(a, b)
    if min(len(a), len(b)) < 2:
        return Significance(_gap(a, b), NAN)
    low, scale = min(a.min(), b.min()), np.ptp(np.concatenate([a, b]))
    ways = math.comb(len(a) + len(b), len(a))
    p = _permuted("independent", _gaps, ways, (a - low) / scale, (b - low) / scale) if scale else 1.0
    return Significance(_gap(a, b), p)


def holm(p: np.ndarray) -> np.ndarray:
    """The p-values of a table of any shape, corrected together by Holm's step-down rule (Holm 1979).

    NaN stays NaN, and doesn't count as a test.

    Raises:
        InvalidScores: a value outside of [0, 1].
    """
    p = numbers("p", p, "...", nan=True)
    if ((p < 0) | (p > 1)).any():
        raise InvalidScores(f"p holds values from {np.nanmin(p)} to {np.nanmax(p)}; give p-values in [0, 1], or NaN.")
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p.flat[tested], kind="stable")]
    steps = p.flat[order] * np.arange(len(order), 0, -1)
    corrected = np.full(p.shape, NAN)
    corrected.flat[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def _two_sides(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return numbers("a", a, "runs"), numbers("b", b, "runs")


def _permuted(kind: str, statistic: Callable[..., np.ndarray], ways: int, *samples: np.ndarray) -> float:
    """How often a permutation gives at least as large a difference, in absolute value, as observed.

    ways: how many permutations there are; where not all are tried, the observed one is counted among those drawn.
    """
    found = stats.permutation_test(
        samples,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=PERMUTATIONS,
        random_state=np.random.default_rng(0),
    )
    count = int((np.abs(found.null_distribution) >= abs(found.statistic) - SLACK).sum())
    return count / ways if ways <= PERMUTATIONS else (count + 1) / (PERMUTATIONS + 1)


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    """The difference of the means; 0 exactly where all are equal."""
    return float((a - a[0]).mean() - (b - a[0]).mean())


def _gaps(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    return a.mean(axis) - b.mean(axis)
