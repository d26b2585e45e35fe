"""Selection rules: which units to grow, prune or recycle.

A rule gives every unit a worth. Growing takes the dormant units worth most; pruning and recycling
take the live units worth least. Ties go to the unit stored first. A rule is a function from a
`LayerView` to worths [m, units]; any such function may be passed where a name is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit, look_up
from plastic_env.learner.activations import Activation
from plastic_env.learner.diagnostics import active_fraction, redo_scores


@dataclass(frozen=True)
class LayerView:
    """What a rule may look at: one hidden layer of m learners, u units each (padding included), on the probe batch.

    When growing, the units are all slots of the layer, wired by their initial weights to the live
    units below and above; when pruning or recycling, they are the live ones. What is looked at is
    computed then, and charged to the learner where it is more than what the probe has measured.
    """

    below: Tensor  # [m, samples, units below] activations that feed the layer
    above: Tensor  # [m, samples, units above] dL/dz of the layer that it feeds
    incoming: Tensor  # [m, u, units below]
    bias: Tensor  # [m, 1, u]
    outgoing: Tensor  # [m, units above, u]
    exists: Tensor  # [m, u] bool: a unit, no padding
    ids: Tensor  # [m, u] in order of birth, -1 for dormant units
    rngs: Sequence[np.random.Generator]  # one per learner
    capacity: int  # slots of the layer
    function: Activation

    @cached_property
    def activation(self) -> Tensor:
        """Post-activations h, [m, samples, u]."""
        return self._forward[0]

    @cached_property
    def gradient(self) -> Tensor:
        """dL/dz of each unit, as if it were live, [m, samples, u]."""
        return self.function.backward(torch.bmm(self.above, self.outgoing), self._forward[1])

    @cached_property
    def incoming_gradient(self) -> Tensor:
        """dL/d incoming weights, [m, u, units below]."""
        return torch.bmm(self.gradient.mT, self.below)

    @cached_property
    def outgoing_gradient(self) -> Tensor:
        """dL/d outgoing weights, [m, units above, u]."""
        return torch.bmm(self.above.mT, self.activation)

    @cached_property
    def _forward(self) -> tuple[Tensor, Tensor]:
        return self.function.forward(torch.baddbmm(self.bias, self.below, self.incoming.mT))

    def macs(self, below: int, above: int) -> int:
        """Multiply-accumulates per unit and sample of what was looked at, between layers of these live widths."""
        costs = {"_forward": below, "gradient": above, "incoming_gradient": below, "outgoing_gradient": above}
        return sum(cost for name, cost in costs.items() if name in vars(self))


Rule = Callable[[LayerView], Tensor]  # -> worth [m, u]


def activation(view: LayerView) -> Tensor:
    """Fraction of post-activations above .05 (arXiv 2605.15435, its default grow score)."""
    return active_fraction(view.activation)


def gradient(view: LayerView) -> Tensor:
    """Mean |dL/dz| (arXiv 2605.15435, its gradient grow score)."""
    return view.gradient.abs().mean(-2)


def gradmax(view: LayerView) -> Tensor:
    """The learning signal that a unit's weights receive: the norm of their whole gradient, incoming and outgoing
    (selection only; after Evci et al. 2022, arXiv 2201.05125, as arXiv 2605.15435 uses it)."""
    incoming, outgoing = view.incoming_gradient.square().sum(-1), view.outgoing_gradient.square().sum(-2)
    return (incoming + outgoing + view.gradient.sum(-2).square()).sqrt()


def magnitude(view: LayerView) -> Tensor:
    """Mean absolute incoming weight (arXiv 2605.15435, its prune score)."""
    return view.incoming.abs().sum(-1)  # same order as the mean: padding adds zeros only


def taylor(view: LayerView) -> Tensor:
    """|sum of gradient times weight| over a unit's incoming weights: how much the loss would move
    if they were removed, to first order (Molchanov et al. 2019, arXiv 1906.10771, eq. 8, unsquared)."""
    return (view.incoming * view.incoming_gradient).sum(-1).abs()


def utility(view: LayerView) -> Tensor:
    """Contribution utility: mean |h| times the sum of |outgoing weights| (Dohare et al. 2024),
    here measured on the probe batch instead of by a running mean."""
    return view.activation.abs().mean(-2) * view.outgoing.abs().sum(-2)


def redo(view: LayerView) -> Tensor:
    """ReDo's score: mean |h| over the layer's mean of it (Sokar et al. 2023, eq. 1)."""
    return redo_scores(view.activation, view.exists)


def dead(view: LayerView) -> Tensor:
    """Fraction of samples on which a unit is not zero: units that never are go first."""
    return (view.activation != 0).to(view.activation.dtype).mean(-2)


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


GROW_RULES: dict[str, Rule] = {"activation": activation, "gradient": gradient, "gradmax": gradmax, "random": random}
PRUNE_RULES: dict[str, Rule] = {
    "magnitude": magnitude,
    "taylor": taylor,
    "activation": activation,
    "utility": utility,
    "redo": redo,
    "dead": dead,
    "random": random,
    "oldest": oldest,
    "youngest": youngest,
}
RULES: dict[str, dict[str, Rule]] = {"grow": GROW_RULES, "prune": PRUNE_RULES, "recycle": PRUNE_RULES}


def find_rule(kind: str, rule: str | Rule) -> Rule:
    """The rule called `rule` for edits of this kind; a function is returned as it is."""
    return rule if callable(rule) else look_up(RULES[kind], rule, f"{kind} rule")


def score(rule: Rule, view: LayerView) -> np.ndarray:
    """The rule's worths [m, u], checked.

    Raises:
        InvalidEdit: a rule that returned another shape, or numbers that can't be compared.
    """
    worth = rule(view)
    name = getattr(rule, "__name__", repr(rule))
    if not isinstance(worth, Tensor) or worth.shape != view.ids.shape:
        got = tuple(worth.shape) if isinstance(worth, Tensor) else type(worth).__name__
        raise InvalidEdit(f"The rule {name} returned {got}; it must return a tensor {tuple(view.ids.shape)}.")
    found = worth.double().cpu().numpy()
    if np.isnan(found[view.exists.cpu().numpy()]).any():
        raise InvalidEdit(f"The rule {name} returned NaN for some unit; worths must be comparable.")
    return found
