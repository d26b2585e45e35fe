"""Selection rules: which units to grow, prune or recycle.

A rule gives every unit a worth. Growing takes the dormant units worth most; pruning and recycling
take the live units worth least. Ties go to the unit stored first. A rule is a function from a
`LayerView` to worths [m, units]; any such function may be passed where a name is expected.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit, look_up
from plastic_env.learner.diagnostics import active_fraction, contribution, redo_scores
from plastic_env.learner.views import LayerView

SelectionRule = Callable[[LayerView], Tensor]  # -> worth [m, u]


def activation(view: LayerView) -> Tensor:
    """Fraction of post-activations above .05 (arXiv 2605.15435, its default grow score)."""
    return active_fraction(view.activation)


def gradient(view: LayerView) -> Tensor:
    """Mean |dL/dz| (arXiv 2605.15435, its gradient grow score)."""
    return view.gradient.abs().mean(-2)


def gradmax(view: LayerView) -> Tensor:
    """The learning signal that a unit's weights receive: the norm of their whole gradient, incoming and outgoing
    (selection only; after Evci et al. 2022, arXiv 2201.05125, as arXiv 2605.15435 uses it)."""
    incoming, outgoing = view.incoming_gradient.square().sum(-1), view.outgoing_gradient.square().sum((1, 2))
    return (incoming + outgoing + view.gradient.sum(-2).square()).sqrt()


def magnitude(view: LayerView) -> Tensor:
    """Mean absolute incoming weight (arXiv 2605.15435, its prune score)."""
    return view.incoming.abs().sum(-1)  # same order as the mean: padding adds zeros only


def taylor(view: LayerView) -> Tensor:
    """|sum of gradient times weight| over a unit's incoming weights: how much the loss would move
    if they were removed, to first order (Molchanov et al. 2019, arXiv 1906.10771, eq. 8, unsquared)."""
    return (view.incoming * view.incoming_gradient).sum(-1).abs()


def utility(view: LayerView) -> Tensor:
    """Contribution utility: mean |h| times the sum of |outgoing weights| (Dohare et al. 2024), here measured on the
    probe batch instead of by a running mean."""
    return contribution(view.fed, view.outgoing)


def redo(view: LayerView) -> Tensor:
    """ReDo's score: mean |h| over the layer's mean of it (Sokar et al. 2023, eq. 1)."""
    return redo_scores(view.activation, view.exists)


def dead(view: LayerView) -> Tensor:
    """Fraction of samples on which a unit is not zero: units that are always zero go first."""
    return (view.activation != 0).to(view.activation.dtype).mean(-2)


def random(view: LayerView) -> Tensor:
    """Uniform random numbers from each learner's own generator."""
    # drawn for all slots: what a learner draws must not depend on its neighbours' padding
    draws = np.stack([rng.random(view.capacity) for rng in view.rngs])
    return torch.from_numpy(np.take_along_axis(draws, view.places.clip(0), 1))


def oldest(view: LayerView) -> Tensor:
    """The first born are worth least."""
    return view.ids


def youngest(view: LayerView) -> Tensor:
    """The last born are worth least."""
    return -view.ids


GROW_RULES: dict[str, SelectionRule] = {
    "activation": activation,
    "gradient": gradient,
    "gradmax": gradmax,
    "random": random,
}
PRUNE_RULES: dict[str, SelectionRule] = {
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
RULES: dict[str, dict[str, SelectionRule]] = {"grow": GROW_RULES, "prune": PRUNE_RULES, "recycle": PRUNE_RULES}


def find_rule(kind: str, rule: str | SelectionRule) -> SelectionRule:
    """The rule called `rule` for edits of this kind; a function is returned as it is.

    Raises:
        UnknownName: no such rule for edits of this kind.
    """
    return rule if callable(rule) else look_up(RULES[kind], rule, f"{kind} rule")


def score(rule: SelectionRule, view: LayerView) -> np.ndarray:
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
