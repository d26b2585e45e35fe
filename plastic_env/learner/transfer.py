"""What survivors and newborns inherit: optimizer state from donors, mean activations by biases.

All functions write into one learner's views; see `transaction.py` for when.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit

OPTIMIZER_STATES = {
    "fresh": "empty, with an age of its own",
    "padded": "empty, but as old as the learner's: the common mistake, for comparison",
    "transplant": "a copy of a donor's, its age included (arXiv 2605.15435, Moment Transplant)",
    "reset": "everybody's is emptied and starts anew",
}


def nearest_donors(incoming: Tensor, newborn: np.ndarray, incumbent: np.ndarray) -> np.ndarray:
    """For each newborn, the position of the incumbent with the most similar incoming weights, by cosine.

    incoming: [units, units below].
    """
    directions = torch.nn.functional.normalize(incoming, dim=1)
    return incumbent[(directions[newborn] @ directions[incumbent].mT).argmax(1).cpu().numpy()]


def named_donors(ids: np.ndarray, wanted: Sequence[int], newborn: np.ndarray, incumbent: np.ndarray) -> np.ndarray:
    """Positions of the incumbents with the ids in `wanted`, one per newborn."""
    known = {int(ids[position]): position for position in incumbent}
    if len(wanted) != len(newborn) or any(donor not in known for donor in wanted):
        raise InvalidEdit(
            f"donors names the units {tuple(wanted)} for {len(newborn)} newborns; "
            f"name one incumbent for each, out of {sorted(known)}."
        )
    return np.array([known[donor] for donor in wanted], dtype=np.int64)


def transplant(
    below: tuple[Tensor, Tensor], above: tuple[Tensor, Tensor], newborn: np.ndarray, donors: np.ndarray
) -> None:
    """Copy the donors' slices of one optimizer buffer into the newborns': incoming, bias, outgoing.

    below, above: the buffer's weight and bias views of the layers into and out of these units.
    """
    below[0][newborn], below[1][newborn] = below[0][donors], below[1][donors]
    above[0][:, newborn] = above[0][:, donors]


def transfer_biases(bias: Tensor, kept: np.ndarray, weight: Tensor, activation: Tensor, removed: np.ndarray) -> None:
    """Add what removed units gave on average to the biases of the units that they fed.

    bias: [units above] after the edit, a view. kept: [units above] their positions before the edit, -1 for newborns.
    weight: [units above before, units before] and activation [samples, units before], both from before the edit.
    """
    given = weight[:, removed] @ activation[:, removed].mean(0)  # [units above before]
    old = kept >= 0
    bias[np.flatnonzero(old)] += given[kept[old]]
