"""How long something takes that not everybody lived to see: censored times, such as those to integrate.

time [entries]: until it happened or, where `observed` [entries] is false, until last seen: it takes longer than that.
A plain mean over such times is biased, whether or not the censored ones are left out. Entries count as independent.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import CensoredData, ecdf, norm

from plastic_env.errors import InvalidScores, InvalidSetting
from plastic_env.study.stats.checks import confidence_level, numbers
from plastic_env.study.stats.intervals import NAN, Interval

SLACK = 1e-9  # of probabilities: products of fractions are half by rounding only


class Survival(NamedTuple):
    """Probability that it takes longer than `time`, from that time on until the next; four arrays [points], by time.

    It is 1 before the first. low, high: pointwise band; NaN once the probability is 0.
    """

    time: np.ndarray
    probability: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Median(NamedTuple):
    """A median time and the ends of its interval, low and high; infinite where not reached within what was observed,
    and the ends NaN for one entry."""

    median: float
    low: float
    high: float


def survival(time: np.ndarray, observed: np.ndarray, confidence: float = 0.95) -> Survival:
    """Kaplan-Meier estimate with a log(-log) band (exponential Greenwood formula; Kalbfleisch & Prentice 2002, 1.4).

    Raises:
        InvalidScores: times that are negative or NaN, other shapes. InvalidSetting: a confidence outside of (0, 1).
    """
    curve = _curve(*_checked(time, observed))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        band = curve.confidence_interval(confidence_level(confidence), method="log-log")
    ends = (np.where(curve.probabilities == 1, 1.0, end.probabilities) for end in (band.low, band.high))
    return Survival(curve.quantiles, curve.probabilities, *ends)


def median_time(time: np.ndarray, observed: np.ndarray, confidence: float = 0.95) -> Median:
    """First time at which the survival curve is at .5 or below, and when the ends of its band are.

    Brookmeyer & Crowley 1982, by the log(-log) band. That band ends where the curve is at 0, so that a few entries, all
    observed, may leave the upper end infinite. If all took equally long, both ends are that time.

    Raises:
        InvalidScores, InvalidSetting: as `survival`.
    """
    curve = survival(time, observed, confidence)
    median = _crossing(curve.time, curve.probability)
    if len(time) < 2:
        return Median(median, NAN, NAN)
    if curve.probability[0] == 0:
        return Median(median, median, median)
    low = np.where(curve.probability == 0, 0.0, curve.low)
    return Median(median, _crossing(curve.time, low), _crossing(curve.time, curve.high))


def restricted_mean(time: np.ndarray, observed: np.ndarray, horizon: float, confidence: float = 0.95) -> Interval:
    """Mean of min(time, horizon): the area under the survival curve up to `horizon`.

    The interval is normal, by Greenwood's variance (Klein & Moeschberger 2003, 4.5). Compare at equal horizons only.

    Raises:
        InvalidScores, InvalidSetting: as `survival`; a horizon that isn't positive, or beyond what was observed.
    """
    time, observed = _checked(time, observed)
    confidence_level(confidence)
    last = time.max()
    if not (0 < horizon < np.inf) or (horizon > last and not observed[time == last].all()):
        raise InvalidSetting(
            f"horizon={horizon!r}; give a positive time, at most {last:g}, the last that was observed."
        )
    curve = _curve(time, observed)
    starts = np.minimum(np.concatenate([[0.0], curve.quantiles]), horizon)
    areas = np.diff(np.append(starts, horizon)) * np.concatenate([[1.0], curve.probabilities])  # between the times
    mean = float(areas.sum())
    if len(time) < 2:
        return Interval(mean, NAN, NAN)
    after = areas[::-1].cumsum()[::-1][1:]  # area from each time on
    deaths, at_risk = _counts(time, observed, curve.quantiles)
    more = after > 0  # so that some are left
    variance = (after**2 * deaths)[more] @ (1 / (at_risk * (at_risk - deaths))[more])
    half = float(norm.ppf((1 + confidence) / 2) * np.sqrt(variance))
    return Interval(mean, mean - half, mean + half)


def _checked(time: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    time, seen = numbers("time", time, "entries"), np.asarray(observed)
    if seen.shape != time.shape or seen.dtype != bool or (time < 0).any():
        raise InvalidScores(
            f"time has shape {list(time.shape)} and starts at {time.min():g}, observed has shape {list(seen.shape)} of "
            f"{seen.dtype}; give times from 0 on, and one truth value for each."
        )
    return time, seen


def _curve(time: np.ndarray, observed: np.ndarray) -> Any:
    return ecdf(CensoredData.right_censored(time, ~observed)).sf


def _crossing(time: np.ndarray, values: np.ndarray) -> float:
    below = time[values <= 0.5 + SLACK]  # never where NaN
    return float(below[0]) if len(below) else float("inf")


def _counts(time: np.ndarray, observed: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often it happened at each of the points in time, and to how many it could still; [points] each."""
    at = np.searchsorted(points, time)
    deaths, entries = (np.bincount(who, minlength=len(points)) for who in (at[observed], at))
    return deaths, entries[::-1].cumsum()[::-1]
