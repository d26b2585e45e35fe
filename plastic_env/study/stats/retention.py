"""What is kept of past tasks and gained for later ones, from test accuracies R [..., checkpoints, tasks].

R[i, j] is the accuracy on task j at the end of task i, NaN where it was not tested; axes before, such as seeds, stay.
A task that was never tested at all is left out. Where an entry that a measure needs is NaN besides, the measure is NaN.
R of another shape is refused with `InvalidScores`.
"""

from __future__ import annotations

import numpy as np

from plastic_env.errors import InvalidScores
from plastic_env.study.stats.checks import numbers
from plastic_env.study.stats.intervals import NAN


def acc(r: np.ndarray) -> np.ndarray:
    """ACC: mean accuracy on all tasks at the end (Lopez-Paz & Ranzato 2017); [...].

    `r` may hold one task at several checkpoints, too: [..., checkpoints, 1].
    """
    r = _matrix(r, least=1)
    return _mean(r[..., -1, :], _tested(r))


def taa(r: np.ndarray) -> np.ndarray:
    """TAA: mean accuracy on the tasks so far at each checkpoint, averaged over these (arXiv 2605.15435); [...].

    Checkpoints before the first task that was tested don't count. `r` may be [..., checkpoints, 1], too.
    """
    r = _matrix(r, least=1)
    seen = np.tri(*r.shape[-2:]).astype(bool) & _tested(r)  # [checkpoints, tasks]
    rows = [_mean(r[..., at, :], seen[at]) for at in np.flatnonzero(seen.any(1))]
    return np.mean(rows, axis=0) if rows else np.full(r.shape[:-2], NAN)


def bwt(r: np.ndarray) -> np.ndarray:
    """BWT: accuracy at the end less that right after the task, over all tasks but the last (Lopez-Paz & Ranzato 2017).

    [...]; negative where tasks are forgotten. Avalanche's stream forgetting is the negative of it.
    """
    r = _matrix(r, least=2)
    return _mean((r[..., -1, :] - _diagonal(r))[..., :-1], _tested(r)[:-1])


def forgetting(r: np.ndarray) -> np.ndarray:
    """Best accuracy before the last task less that at the end, over all tasks but the last; [...].

    Chaudhry et al. 2018. The best is taken over those checkpoints that tested the task, its own among them.
    """
    r = _matrix(r, least=2)
    own = _diagonal(r)
    best = np.where(np.isnan(own), NAN, np.max(np.nan_to_num(r[..., :-1, :], nan=-np.inf), axis=-2))
    return _mean((best - r[..., -1, :])[..., :-1], _tested(r)[:-1])


def fwt(r: np.ndarray, untrained: np.ndarray) -> np.ndarray:
    """FWT: accuracy on a task right before it less an untrained network's, over all tasks but the first; [...].

    Lopez-Paz & Ranzato 2017; Avalanche's forward transfer.

    Args:
        r: as above. untrained: [tasks] or [..., tasks], accuracies at random initialisation.

    Raises:
        InvalidScores: `untrained` of another shape.
    """
    r, untrained = _matrix(r, least=2), numbers("untrained", untrained, "..., tasks", nan=True)
    whole, tasks = r.shape[:-2] + r.shape[-1:], r.shape[-1:]
    if untrained.shape not in (whole, tasks):
        raise InvalidScores(f"untrained has shape {list(untrained.shape)}; give {list(tasks)} or {list(whole)}.")
    before = np.diagonal(r, 1, -2, -1)  # R[i - 1, i]
    return _mean(before - untrained[..., 1:], _tested(r)[1:])


def _matrix(r: np.ndarray, least: int) -> np.ndarray:
    r = numbers("R", r, "..., checkpoints, tasks", nan=True)
    checkpoints, tasks = r.shape[-2:]
    if tasks < least or (checkpoints != tasks and (tasks, least) != (1, 1)):
        raise InvalidScores(
            f"R has shape {list(r.shape)}; give [..., checkpoints, tasks], as many of the ones as of the others, from "
            f"{least} on."
        )
    return r


def _tested(r: np.ndarray) -> np.ndarray:
    """[tasks] whether each was tested anywhere."""
    return ~np.isnan(r).all(tuple(range(r.ndim - 1)))


def _diagonal(r: np.ndarray) -> np.ndarray:
    return np.diagonal(r, 0, -2, -1)


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of `values` [..., tasks] over the tasks that count [tasks]; NaN if none does."""
    return values[..., counts].mean(-1) if counts.any() else np.full(values.shape[:-1], NAN)
