"""Each method against a reference: how large the difference in TAOA is, and how surely there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plastic_env.study.measures import taoa_pairs
from plastic_env.study.results import Result
from plastic_env.study.stats import (
    Interval,
    holm,
    paired_difference,
    probability_of_improvement,
    sign_flip_test,
    welch_test,
)


@dataclass(frozen=True)
class Comparison:
    """One method against the reference.

    pairs: seeds that both have. difference: of TAOA, paired by these. improvement: probability that a run of the method
        has the higher TAOA, over all runs of both. welch, sign_flip: p-values of there being no difference, the
        first over all runs, the second over the pairs. corrected_...: by Holm's rule, over all methods of the table.
    """

    pairs: int
    difference: Interval
    improvement: Interval
    welch: float
    sign_flip: float
    corrected_welch: float
    corrected_sign_flip: float


def compare_with(methods: Mapping[str, Sequence[Result]], reference: str) -> dict[str, Comparison]:
    """All other methods that have a seed in common with `reference`."""
    base = methods[reference]
    pairs = {name: taoa_pairs(results, base) for name, results in methods.items() if name != reference}
    pairs = {name: pair for name, pair in pairs.items() if pair[0].size}
    if not pairs:
        return {}
    theirs = np.array([result.taoa() for result in base])
    whole = {name: np.array([result.taoa() for result in methods[name]]) for name in pairs}
    welch = np.array([welch_test(mine, theirs).p for mine in whole.values()])
    flips = np.array([sign_flip_test(*pair).p for pair in pairs.values()])
    p_values = zip(welch, flips, holm(welch), holm(flips), strict=True)
    return {
        name: Comparison(
            len(pair[0]),
            paired_difference(*pair),
            probability_of_improvement(whole[name], theirs),
            *map(float, found),
        )
        for (name, pair), found in zip(pairs.items(), p_values, strict=True)
    }


def reference_among(methods: Sequence[str], wanted: str | None = None) -> str:
    """The method that others are compared with: the one that is wanted if it is there, else dense, else the first."""
    return next((name for name in (wanted, "dense") if name is not None and name in methods), methods[0])
