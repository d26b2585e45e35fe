"""Selection rules: which units to grow, prune or recycle.

A rule gives every unit a worth. Growing takes the dormant units worth most; pruning and recycling
take the live units worth least. Ties go to the unit stored first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

ACTIVE = 0.05  # a unit counts as active on a sample above this (arXiv 2605.15435, tau)


@dataclass(frozen=True)
class LayerView:
    """What a rule may look at: one hidden layer of m learners, u units each (padding included).

    When growing, the units are all slots of the layer, wired by their initial weights to the live
    units below and above; when pruning or recycling, they are the live ones.
    """

    measure: Callable[[], Tensor]  # computes `activation`
    incoming: Tensor  # [m, u, units below]
    outgoing: Tensor  # [m, units above, u]
    ids: Tensor  # [m, u] in order of birth, -1 for dormant units
    rngs: Sequence[np.random.Generator]  # one per learner
    capacity: int  # slots of the layer

    @cached_property
    def activation(self) -> Tensor:
        """Post-activations on the probe batch, [m, samples, u]; computed, and charged, only when looked at."""
        return self.measure()

    @property
    def measured(self) -> bool:
        """Whether the rule looked at `activation`."""
        return "activation" in vars(self)


Rule = Callable[[LayerView], Tensor]  # -> worth [m, u]


def active_fraction(activation: Tensor) -> Tensor:
    """Fraction of samples on which each unit exceeds .05: [..., samples, u] -> [..., u]."""
    return (activation > ACTIVE).to(activation.dtype).mean(-2)


def activation(view: LayerView) -> Tensor:
    """Fraction of post-activations above .05 (arXiv 2605.15435, its default grow score)."""
    return active_fraction(view.activation)


def magnitude(view: LayerView) -> Tensor:
    """Mean absolute incoming weight (arXiv 2605.15435, its prune score)."""
    return view.incoming.abs().sum(-1)  # same order as the mean: padding adds zeros only


def utility(view: LayerView) -> Tensor:
    """Contribution utility: mean |h| times the sum of |outgoing weights| (Dohare et al. 2024),
    here measured on the probe batch instead of by a running mean."""
    return view.activation.abs().mean(-2) * view.outgoing.abs().sum(-2)


def random(view: LayerView) -> Tensor:
    """Uniform random numbers from each learner's own generator."""
    # drawn for all slots: what a learner draws must not depend on its neighbours' padding
    draws = np.stack([rng.random(view.capacity) for rng in view.rngs])
    return torch.from_numpy(draws[:, : view.incoming.shape[1]])


def oldest(view: LayerView) -> Tensor:
    """The first born are worth least."""
    return view.ids


def youngest(view: LayerView) -> Tensor:
    """The last born are worth least."""
    return -view.ids


GROW_RULES: dict[str, Rule] = {"activation": activation, "random": random}
PRUNE_RULES: dict[str, Rule] = {
    "magnitude": magnitude,
    "utility": utility,
    "random": random,
    "oldest": oldest,
    "youngest": youngest,
}
RECYCLE_RULES = PRUNE_RULES
