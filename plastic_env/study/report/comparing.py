"""Each method against a reference: how large the difference in a score is, and how surely there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plastic_env.study.measures import pairs, taoa_by_seed
from plastic_env.study.results import ByMethod
from plastic_env.study.stats import (
    Interval,
    holm,
    paired_difference,
    probability_of_improvement,
    sign_flip_test,
    welch_test,
)


@dataclass(frozen=True)
class Compared:
    """One method against the reference.

    pairs: seeds that both have. difference: of their scores, paired by these. improvement: probability that a run of
        the method has the higher one, over all runs of both. welch, sign_flip: p-values of there being no difference,
        the first over all runs, the second over the pairs. corrected_welch, corrected_sign_flip: by
        Holm's rule, over the table's methods.
    """

    pairs: int
    difference: Interval
    improvement: Interval
    welch: float
    sign_flip: float
    corrected_welch: float
    corrected_sign_flip: float


def compare_with(methods: ByMethod, reference: str) -> dict[str, Compared]:
    """TAOA of all other methods that have a seed in common with `reference`."""
    return compare_scores({name: taoa_by_seed(results) for name, results in methods.items()}, reference)


def compare_scores(scores: Mapping[str, Mapping[int, float]], reference: str) -> dict[str, Compared]:
    """The same of any scores, by method and seed."""
    base = scores[reference]
    paired = {name: pairs(mine, base) for name, mine in scores.items() if name != reference}
    paired = {name: pair for name, pair in paired.items() if pair[0].size}
    if not paired:
        return {}
    theirs = np.array(list(base.values()))
    whole = {name: np.array(list(scores[name].values())) for name in paired}
    welch = np.array([welch_test(mine, theirs).p for mine in whole.values()])
    flips = np.array([sign_flip_test(*pair).p for pair in paired.values()])
    p_values = zip(welch, flips, holm(welch), holm(flips), strict=True)
    return {
        name: Compared(
            len(pair[0]),
            paired_difference(*pair),
            probability_of_improvement(whole[name], theirs),
            *map(float, found),
        )
        for (name, pair), found in zip(paired.items(), p_values, strict=True)
    }


def reference_among(methods: Sequence[str], wanted: str | None = None) -> str:
    """The method that others are compared with: the one that is wanted if it is there, else dense, else the first."""
    return next((name for name in (wanted, "dense") if name is not None and name in methods), methods[0])
