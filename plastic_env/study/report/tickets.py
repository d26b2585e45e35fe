"""Cycle and ticket accuracy of methods, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from plastic_env.study.stats import mean_interval, paired_difference, welch_test
from plastic_env.study.text import aligned, interval_text, p_text
from plastic_env.study.ticket import Ticketed

SCORES = ("acc", "taa")
SIDES = ("cycle", "ticket")


def as_table(methods: Mapping[str, Ticketed]) -> str:
    """Two tables: of each method, and of each two that have seeds in common."""
    return "\n\n".join(filter(None, (_table_of_methods(methods), _table_of_differences(methods))))


def as_json(scenario: str, weights: str, methods: Mapping[str, Ticketed]) -> dict[str, Any]:
    """Every number by method, in the order of its seeds, as JSON values."""
    found = {}
    for name, method in methods.items():
        arrays = {key: value.tolist() for key, value in vars(method).items() if isinstance(value, np.ndarray)}
        found[name] = {**arrays, "diverged": list(method.diverged)}
    return {"scenario": scenario, "weights": weights, "methods": found}


def _table_of_methods(methods: Mapping[str, Ticketed]) -> str:
    rows = [("method", "width", "score", "cycle [95 % interval]", "ticket", "ticket - cycle, paired")]
    for name, method in methods.items():
        for score in SCORES:
            cycle, ticket = (getattr(method, f"{side}_{score}") for side in SIDES)
            rows.append(
                (
                    name,
                    f"{method.width.mean():.1f}",
                    score.upper(),
                    interval_text(mean_interval(cycle)),
                    interval_text(mean_interval(ticket)),
                    interval_text(paired_difference(ticket, cycle), "+"),
                )
            )
    return aligned(rows)


def _table_of_differences(methods: Mapping[str, Ticketed]) -> str:
    """Empty without two methods that have seeds in common."""
    rows: list[tuple[str, ...]] = [
        ("difference, paired", "score", "cycle [95 % interval]", "Welch's p", "ticket", "Welch's p")
    ]
    for (a, one), (b, other) in combinations(methods.items(), 2):
        _, mine, theirs = np.intersect1d(one.seeds, other.seeds, return_indices=True)
        for score in SCORES if len(mine) else ():
            cells = []
            for side in SIDES:
                pair = getattr(one, f"{side}_{score}")[mine], getattr(other, f"{side}_{score}")[theirs]
                cells += [interval_text(paired_difference(*pair), "+"), p_text(welch_test(*pair).p)]
            rows.append((f"{a} - {b}", score.upper(), *cells))
    return aligned(rows) if len(rows) > 1 else ""
