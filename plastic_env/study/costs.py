"""What runs cost, update by update, and how accurate they are within what they may spend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plastic_env.errors import look_up
from plastic_env.study.measures import online_accuracy
from plastic_env.study.plots import Band
from plastic_env.study.results import Result
from plastic_env.study.stats import accuracy_within, cost_per_update, mean_bands

KINDS = {
    "macs": "multiply-accumulates",
    "parameters": "live parameters, added up over updates",
}
POINTS = 60  # of a curve over budgets


def costs(results: Sequence[Result], of: str) -> np.ndarray | None:
    """[seeds, updates] what each update cost; None if any run doesn't say.

    A run that ends early, such as one that diverges, counts as if it had gone on at the cost of its last step: it is
    no cheaper for that. A step's cost is spread evenly over its updates.

    of: "macs", what is charged for training, probes and edits; or "parameters", the live ones.

    Raises:
        UnknownName: no such cost.
    """
    look_up(KINDS, of, "cost")
    if any(of not in result.rows for result in results):
        return None
    return np.stack([_of_run(result, of) for result in results])


def mean_parameters(results: Sequence[Result]) -> float | None:
    """Live parameters, averaged over updates and seeds; None if any run doesn't say."""
    found = costs(results, "parameters")
    return None if found is None else float(found.mean())


def within(results: Sequence[Result], of: str) -> Band:
    """Mean online accuracy over the updates that a budget pays for, by budget, with a band over seeds; no points if any
    run doesn't say what it cost."""
    cost = costs(results, of)
    if cost is None:
        return Band(*(np.zeros(0),) * 4)
    whole = cost.sum(1).min()  # that every seed spends
    budgets = np.linspace(whole / POINTS, whole, POINTS)
    return Band(budgets, *mean_bands(accuracy_within(online_accuracy(results), cost, budgets)))


def _of_run(result: Result, of: str) -> np.ndarray:
    counts = np.subtract(result.rows["stop"], result.rows["start"])
    spent = np.asarray(result.rows[of], dtype=np.float64)
    cost = cost_per_update(spent * counts if of == "parameters" else spent, counts)
    return np.append(cost, np.full(result.settings["updates"] - len(cost), cost[-1]))
