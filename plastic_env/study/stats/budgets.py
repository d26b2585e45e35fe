"""Methods at equal cost rather than at equal updates: accuracy within a budget, and what no other beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plastic_env.errors import InvalidScores
from plastic_env.study.stats.checks import numbers, same_shape


def cost_per_update(cost: np.ndarray, updates: Sequence[int] | np.ndarray) -> np.ndarray:
    """`cost` [steps] of steps that trained `updates` [steps] batches each, spread evenly over these; [sum of updates].

    Raises:
        InvalidScores: negative costs, a step without a whole positive number of updates, shapes that differ.
    """
    cost, counts = _costs(cost, "steps"), numbers("updates", updates, "steps")
    same_shape(cost=cost, updates=counts)
    if (counts < 1).any() or (counts % 1).any():
        raise InvalidScores(f"updates={counts.tolist()}; give a whole number from 1 on for each step.")
    return np.repeat(cost / counts, counts.astype(np.int64))


def common_budget(*costs: np.ndarray) -> float:
    """The largest budget that every run spends, of methods with costs [..., updates] each.

    Raises:
        InvalidScores: negative costs, or none at all.
    """
    if not costs:
        raise InvalidScores("No costs; give those of one method or more, [..., updates] each.")
    return min(float(_costs(cost, "..., updates").sum(-1).min()) for cost in costs)


def accuracy_within(accuracy: np.ndarray, cost: np.ndarray | float, budgets: np.ndarray | float) -> np.ndarray:
    """Mean of `accuracy` [..., updates] over the updates that a budget pays for.

    An update that the budget pays for in part counts in that part, so that the whole cost gives the mean over all.

    Args:
        accuracy: of each batch before it is trained on.
        cost: of each update, such as multiply-accumulates or live parameters: [..., updates], [updates], or one number.
        budgets: one number, or [budgets], in the unit of `cost`.

    Returns:
        [...] or [..., budgets]; NaN where a run never spends the budget.

    Raises:
        InvalidScores: NaN, negative costs, budgets that aren't positive, shapes that don't fit.
    """
    accuracy = numbers("accuracy", accuracy, "..., updates")
    cost = _costs(cost, "", "..., updates")
    if cost.shape not in ((), accuracy.shape[-1:], accuracy.shape):
        raise InvalidScores(
            f"cost has shape {list(cost.shape)}; give {list(accuracy.shape)}, accuracy's, {list(accuracy.shape[-1:])}, "
            "its updates, or one number."
        )
    wanted = numbers("budgets", budgets, "", "budgets")
    if (wanted <= 0).any():
        raise InvalidScores(f"budgets={wanted.tolist()}; give positive ones, in the unit of cost.")
    runs = accuracy.reshape(-1, accuracy.shape[-1])
    costs = np.broadcast_to(cost, accuracy.shape).reshape(runs.shape)
    found = [_within(*run, wanted) for run in zip(runs, costs, strict=True)]
    return np.stack(found).reshape(accuracy.shape[:-1] + wanted.shape)


def pareto_front(compute: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Indices, by ascending compute, of the methods that none beats: none has less compute and as high a score, or a
    higher score for as much compute. `compute` and `score` are [methods]; equal ones are both kept.

    Raises:
        InvalidScores: NaN, or shapes that differ.
    """
    compute, score = numbers("compute", compute, "methods"), numbers("score", score, "methods")
    same_shape(compute=compute, score=score)
    no_worse = (compute <= compute[:, None]) & (score >= score[:, None])  # [methods, others]
    better = (compute < compute[:, None]) | (score > score[:, None])
    front = np.flatnonzero(~(no_worse & better).any(1))
    return front[np.argsort(compute[front], kind="stable")]


def _costs(cost: np.ndarray | float, *shapes: str) -> np.ndarray:
    found = numbers("cost", cost, *shapes)
    if (found < 0).any():
        raise InvalidScores(f"cost goes down to {found.min():g}; give costs from 0 on.")
    return found


def _within(accuracy: np.ndarray, cost: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """One run [updates]; like `budgets`."""
    spent = np.concatenate([[0.0], cost.cumsum()])
    hits = np.interp(budgets, spent, np.concatenate([[0.0], accuracy.cumsum()]))
    updates = np.interp(budgets, spent, np.arange(len(spent)))
    enough = budgets <= spent[-1] * (1 + 1e-12)  # a budget may be the sum of the costs in another order
    return np.where(enough, hits / np.where(updates > 0, updates, 1), np.nan)
