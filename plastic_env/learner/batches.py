"""Checks of the data that learners are given, before anything is done with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plastic_env.errors import InvalidData


def check_labels(x: Tensor, y: Tensor, members: Sequence[int], inputs: int, classes: Sequence[int], name: str) -> None:
    """Refuse batches of classes that can't be trained on.

    Args:
        x, y: inputs [k, m, batch, inputs] and labels [k, m, batch] that are to be.
        members: the learners' numbers. classes: how many each has.
        name: of a batch in messages, with {0} for its number and {1} for its learner's.

    Raises:
        InvalidData: shapes that don't fit, an empty batch, inputs that are not finite, labels out of range.
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise InvalidData(f"Inputs and labels are {type(x).__name__} and {type(y).__name__}; give torch tensors.")
    if y.ndim != 3 or x.shape != (*y.shape, inputs) or y.shape[1] != len(members) or 0 in y.shape:
        raise InvalidData(
            f"There are inputs {tuple(x.shape)} and labels {tuple(y.shape)} for {len(members)} learner(s); give "
            f"inputs [..., batch, {inputs}] and labels [..., batch], at least one sample for each."
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InvalidData(f"The labels are {y.dtype}; give whole numbers, such as torch.int64.")
    _check_finite("inputs", x, members, name)
    bad = (y < 0) | (y >= torch.tensor(classes, device=y.device)[:, None])
    if bad.any():
        at, row, _ = torch.nonzero(bad)[0].tolist()
        raise InvalidData(
            f"The labels of {name.format(at, members[row])} hold {int(y[at, row][bad[at, row]][0])}; "
            f"its {classes[row]} classes allow 0 to {classes[row] - 1}."
        )


def check_values(x: Tensor, y: Tensor, members: Sequence[int], inputs: int, outputs: int, name: str) -> None:
    """Refuse batches of values [k, m, batch, outputs] that can't be trained on; otherwise as `check_labels`.

    Raises:
        InvalidData: as there.
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise InvalidData(f"Inputs and values are {type(x).__name__} and {type(y).__name__}; give torch tensors.")
    fits = y.ndim == 4 and x.shape == (*y.shape[:3], inputs) and y.shape[3] == outputs
    if not fits or y.shape[1] != len(members) or 0 in y.shape:
        raise InvalidData(
            f"There are inputs {tuple(x.shape)} and values {tuple(y.shape)} for {len(members)} learner(s); give "
            f"inputs [..., batch, {inputs}] and values [..., batch, {outputs}], at least one sample for each."
        )
    _check_finite("inputs", x, members, name)
    _check_finite("values", y, members, name)


def _check_finite(what: str, x: Tensor, members: Sequence[int], name: str) -> None:
    # one sum is cheap; it may overflow where all are finite, so only a look at each tells
    if torch.isfinite(x.sum()) or (sound := torch.isfinite(x).flatten(2).all(-1)).all():
        return
    at, row = torch.nonzero(~sound)[0].tolist()
    raise InvalidData(f"The {what} of {name.format(at, members[row])} are not all finite; clean or rescale the data.")
