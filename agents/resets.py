"""Methods against the loss of plasticity that are edits: they reset a part of the network.

Those that are settings of the learner instead are in `plastic_env/learner/penalties.py`, `replacement.py` and
`optimizers.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plastic_env.agents.looking import Looking
from plastic_env.agents.structural import AtShifts
from plastic_env.env.encoding import Observation, layer_field


@dataclass
class HeadReset(AtShifts):
    """Draws the head anew at every shift, and keeps all else (a baseline of Dohare et al. 2024, Nature 632)."""

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Redraw the head."""
        return {"rewind": "head"}


@dataclass
class ReDo(Looking):
    """Every so many updates, recycles all dormant units: those with a ReDo score s_i = E|h_i| / mean_j E|h_j| of at
    most .025 on the latest samples get fresh incoming weights, outgoing weights 0 and an empty optimizer state
    (Sokar et al. 2023, arXiv 2302.12902). A bias is drawn as the learner's initialisation has it, 0 with "kaiming".

    every: updates between two checks, the paper's 1,000. insertion: how newborns enter (see `WithNewborns`).
    """

    every: int = 1000
    insertion: str = "zero_out"

    def edit(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        """Recycle all dormant units."""
        dormant = np.round(layer_field(observation, "dormant") * info["live"]).astype(np.int64)
        return {"recycle": dormant, "recycle_rule": "redo", **self.entering}
