"""What survivors and newborns inherit: optimizer state from donors, mean activations by biases.

All functions write into one learner's views; see `transaction.py` for when.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit
from plastic_env.learner.parameters import Layer

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
    """Positions [newborns] of the incumbents with the ids in `wanted`, one per newborn.

    ids: [units]. newborn, incumbent: positions.

    Raises:
        InvalidEdit: another number of ids than of newborns, or one that no incumbent has.
    """
    known = {int(ids[position]): position for position in incumbent}
    if len(wanted) != len(newborn) or any(donor not in known for donor in wanted):
        raise InvalidEdit(
            f"donors names the units {tuple(wanted)} for {len(newborn)} newborns; "
            f"name one incumbent for each, out of {sorted(known)}."
        )
    return np.array([known[donor] for donor in wanted], dtype=np.int64)


def transplant(below: Layer, above: Layer, newborn: np.ndarray, donors: np.ndarray) -> None:
    """Copy the donors' slices of one optimizer buffer into the newborns': incoming weights and vectors, outgoing.

    below, above: the buffer's views of the layers into and out of these units, as `State.layer` gives them. newborn,
    donors: [newborns] positions.
    """
    below.weight[newborn], below.vectors[:, newborn] = below.weight[donors], below.vectors[:, donors]
    above.weight[:, newborn] = above.weight[:, donors]


def transfer_biases(bias: Tensor, kept: np.ndarray, weight: Tensor, means: Tensor, removed: np.ndarray) -> None:
    """Add what removed units gave on average to the biases of the units that they fed.

    bias: [units above] after the edit, a view. kept: [units above] their positions before the edit, -1 for newborns.
    weight: [units above, units, block] and means [units, block], the mean of what fed each of these, both from
        before the edit and the latter with padding. In convolutions this is exact away from the image's rim.
    """
    given = weight[:, removed].flatten(1) @ means[removed].flatten()  # [units above before]
    old = kept >= 0
    bias[np.flatnonzero(old)] += given[kept[old]]
