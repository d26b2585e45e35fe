"""What the statistics refuse: said in one way, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plastic_env.errors import InvalidScores, InvalidSetting


def numbers(name: str, values: object, *shapes: str, nan: bool = False) -> np.ndarray:
    """`values` as an array [...] of float64.

    Args:
        shapes: the allowed ones, such as "runs, tasks"; "..., tasks" allows any axes before, "" is a number.
        nan: whether NaN is allowed.

    Raises:
        InvalidScores: they are no numbers, of another number of axes, empty, infinite, or NaN where it isn't allowed.
    """
    allowed = " or ".join(f"[{shape}]" if shape else "one number" for shape in shapes)
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidScores(f"{name} is no array of numbers ({error}); give {allowed}.") from error
    if not found.size or not any(_fits(found.ndim, shape) for shape in shapes):
        raise InvalidScores(f"{name} has shape {list(found.shape)}; give {allowed}, not empty.")
    refused = np.isinf(found) if nan else ~np.isfinite(found)
    if refused.any():
        first = tuple(int(at) for at in np.argwhere(refused)[0])
        what = "infinite" if nan else "NaN or infinite"
        raise InvalidScores(
            f"{name} {list(found.shape)} holds {refused.sum()} values that are {what}, the first at {list(first)}; "
            "leave such runs out, or give the value that they count with."
        )
    return found


def same_shape(**arrays: np.ndarray) -> None:
    """Refuse arrays, given by name, whose shapes differ.

    Raises:
        InvalidScores: they do.
    """
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise InvalidScores(f"The shapes differ: {shapes}; give equal ones.")


def confidence_level(confidence: float) -> float:
    """`confidence`, checked.

    Raises:
        InvalidSetting: it isn't between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InvalidSetting(f"confidence={confidence!r}; give a number between 0 and 1, such as 0.95.")
    return confidence


def task_ends(ends: Sequence[int] | np.ndarray, updates: int) -> np.ndarray:
    """`ends` [tasks] as integers: the number of updates at which each task ends.

    Raises:
        InvalidScores: they aren't ascending whole numbers from 1 on, of which the last is `updates`.
    """
    found = numbers("ends", ends, "tasks")
    if (found % 1).any() or found[0] < 1 or (np.diff(found) < 1).any() or found[-1] != updates:
        raise InvalidScores(
            f"ends={found.tolist()}; give the update after the last of each task, ascending, up to {updates}, the "
            "number of updates."
        )
    return found.astype(np.int64)


def _fits(ndim: int, shape: str) -> bool:
    axes = shape.split(", ") if shape else []
    return ndim >= len(axes) - 1 if "..." in axes else ndim == len(axes)
