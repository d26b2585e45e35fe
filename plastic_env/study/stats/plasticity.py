"""Plasticity along a stream, from accuracies in the order in which they were reached.

Arrays have any axes, such as seeds, before the last, and lose the last or turn it from updates into tasks. What is left
[seeds] is fit for `mean_interval`, `paired_difference` and the tests. `ends` [tasks] says at which update each task
ends: [100, 200, 300] for three tasks of a hundred updates. NaN and other shapes are refused with `InvalidScores`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plastic_env.errors import InvalidScores, InvalidSetting, is_whole
from plastic_env.study.stats.checks import numbers, task_ends


def fifths(accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of `accuracy` [..., updates or tasks] over its first and its last fifth, rounded down but at least one."""
    accuracy = numbers("accuracy", accuracy, "..., updates")
    count = accuracy.shape[-1]
    fifth = max(1, count // 5)
    return accuracy[..., :fifth].mean(-1), accuracy[..., count - fifth :].mean(-1)


def loss_of_plasticity(accuracy: np.ndarray) -> np.ndarray:
    """How much lower `accuracy` [..., updates or tasks] is in the last fifth than in the first; [...]."""
    first, last = fifths(accuracy)
    return first - last


def slopes(accuracy: np.ndarray) -> np.ndarray:
    """Least-squares slope of `accuracy` [..., tasks] per task; [...], negative where plasticity is lost.

    The mean over seeds is the slope of the mean curve, so `mean_interval` gives it an interval.

    Raises:
        InvalidScores: fewer than two tasks have no slope.
    """
    accuracy = numbers("accuracy", accuracy, "..., tasks")
    count = accuracy.shape[-1]
    if count < 2:
        raise InvalidScores(f"accuracy has shape {list(accuracy.shape)}; a slope needs two tasks or more.")
    place = np.arange(count) - (count - 1) / 2
    return (accuracy - accuracy[..., :1]) @ place / (place @ place)  # constant accuracies have slope 0 exactly


def relative_plasticity(accuracy: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`accuracy` [..., tasks] over a reference's on the same tasks, such as a fresh network's; [..., tasks].

    Below 1, plasticity has been lost. Where the reference is 0, the ratio is 1 if accuracy is 0 too, else infinite.

    reference: [tasks] or of accuracy's shape.

    Raises:
        InvalidScores: shapes that don't fit, or NaN.
    """
    accuracy, reference = numbers("accuracy", accuracy, "..., tasks"), numbers("reference", reference, "..., tasks")
    if reference.shape not in (accuracy.shape, accuracy.shape[-1:]):
        raise InvalidScores(
            f"reference has shape {list(reference.shape)}; give {list(accuracy.shape)}, accuracy's, or "
            f"{list(accuracy.shape[-1:])}, its tasks."
        )
    nothing = np.where(accuracy == 0, 1.0, np.inf)
    return np.where(reference == 0, nothing, accuracy / np.where(reference == 0, 1.0, reference))


def average_online_accuracy(accuracy: np.ndarray, ends: Sequence[int] | np.ndarray) -> np.ndarray:
    """Mean of `accuracy` [..., updates] over each task; [..., tasks]."""
    accuracy = numbers("accuracy", accuracy, "..., updates")
    starts, stops = _bounds(ends, accuracy.shape[-1])
    return np.add.reduceat(accuracy, starts, axis=-1) / (stops - starts)


def taoa(
    accuracy: np.ndarray,
    ends: Sequence[int] | np.ndarray | None = None,
    scored: Sequence[bool] | np.ndarray | None = None,
) -> np.ndarray:
    """Total average online accuracy: mean of `accuracy` [..., updates] over all updates (arXiv 2605.15435); [...].

    scored: [tasks] which tasks count, by `ends`; all do if it is None.

    Raises:
        InvalidScores: `scored` without `ends`, not one for each task, or none true.
    """
    accuracy = numbers("accuracy", accuracy, "..., updates")
    if scored is None:
        return accuracy.mean(-1)
    if ends is None:
        raise InvalidScores("scored says which tasks count, and ends is None; give ends, where the tasks end, too.")
    starts, stops = _bounds(ends, accuracy.shape[-1])
    counts = np.asarray(scored, dtype=bool)
    if counts.shape != starts.shape or not counts.any():
        raise InvalidScores(
            f"scored has shape {list(counts.shape)}, {counts.sum()} of it true; give one truth value for each of the "
            f"{len(starts)} tasks, at least one of them true."
        )
    return accuracy[..., np.repeat(counts, stops - starts)].mean(-1)


def early_task_taa(accuracy: np.ndarray, ends: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
    """Mean of `accuracy` [..., updates] over the first `length` updates of each task, averaged over tasks; [...].

    arXiv 2605.15435 gives no length; state yours.

    Raises:
        InvalidSetting: `length` is no whole number from 1 to the shortest task's length.
    """
    accuracy = numbers("accuracy", accuracy, "..., updates")
    starts, stops = _bounds(ends, accuracy.shape[-1])
    shortest = int((stops - starts).min())
    if not is_whole(length, 1) or length > shortest:
        raise InvalidSetting(f"length={length!r}; give a number of updates from 1 to {shortest}, the shortest task's.")
    return accuracy[..., starts[:, None] + np.arange(length)].mean((-2, -1))


def _bounds(ends: Sequence[int] | np.ndarray, updates: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each task starts and stops, [tasks] each."""
    stops = task_ends(ends, updates)
    return np.concatenate([[0], stops[:-1]]), stops
