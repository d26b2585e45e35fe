"""Methods at equal cost: accuracy over what all can pay for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plastic_env.study import costs
from plastic_env.study.measures import online_accuracy
from plastic_env.study.results import ByMethod
from plastic_env.study.stats import Interval, accuracy_within, common_budget, mean_interval, pareto_front


@dataclass(frozen=True)
class View:
    """Methods at one equal budget.

    budget: the largest that every run of every method spends. accuracy: of each method, mean over the updates that the
        budget pays for. spent: of each method, the mean cost of a whole life. front: methods that none beats, by whole
        lives: none costs less and has as high an accuracy over all updates, or a higher one for as much.
    """

    budget: float
    accuracy: Mapping[str, Interval]
    spent: Mapping[str, float]
    front: Sequence[str]


def by_updates(methods: ByMethod) -> View:
    """At equal numbers of updates."""
    accuracy = {name: online_accuracy(results) for name, results in methods.items()}
    return _view(accuracy, {name: np.ones_like(values) for name, values in accuracy.items()})


def by_cost(methods: ByMethod, of: str) -> View | None:
    """At equal costs of one of the `costs.KINDS`; None if any run doesn't say what it cost."""
    spent = {name: costs.costs(results, of) for name, results in methods.items()}
    known = {name: cost for name, cost in spent.items() if cost is not None}
    return (
        _view({name: online_accuracy(results) for name, results in methods.items()}, known) if known == spent else None
    )


def _view(accuracy: Mapping[str, np.ndarray], cost: Mapping[str, np.ndarray]) -> View:
    budget = common_budget(*cost.values())
    spent = {name: float(values.sum(1).mean()) for name, values in cost.items()}
    whole = np.array([values.mean() for values in accuracy.values()])
    names = list(accuracy)
    return View(
        budget,
        {name: mean_interval(accuracy_within(accuracy[name], cost[name], budget)) for name in names},
        spent,
        [names[at] for at in pareto_front(np.array([spent[name] for name in names]), whole)],
    )
