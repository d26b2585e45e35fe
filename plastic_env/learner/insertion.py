"""Insertion rules: the weights that newborn units enter with.

A newborn enters with its slot's initial weights, so a rule is what it does to these before birth.
No rule here moves an incumbent's weights.

| rule | incoming, bias | outgoing | preserves |
| --- | --- | --- | --- |
| dormant | the slot's initial draw | the slot's initial draw | nothing: the function moves |
| fresh | a new draw | a new draw | nothing: the function moves |
| zero_out | a new draw | 0 | the function; dL/dz is 0 at birth, dL/dW_out is not |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plastic_env.learner.network import Init, Layer, draw


@dataclass(frozen=True)
class Birth:
    """Units about to be born in one hidden layer of one learner."""

    below: Layer  # the learner's initial parameters into this layer: [slots, slots below], [1, slots]
    above: Layer  # and out of it: [slots above, slots], [1, slots above]
    slots: np.ndarray  # the places they take
    init: Init
    rng: np.random.Generator


def dormant(birth: Birth) -> None:
    """Keep the initial weights that the slots have waited with (arXiv 2605.15435)."""


def fresh(birth: Birth) -> None:
    """Draw new initial weights for the slots, incoming and outgoing, from the initial distribution."""
    _draw_incoming(birth)
    above, fan_in = birth.above.weight.shape
    values = draw(birth.rng, birth.init.weight(fan_in), (above, len(birth.slots)))
    birth.above.weight[:, birth.slots] = values.to(birth.above.weight)


def zero_out(birth: Birth) -> None:
    """Draw new incoming weights; start with outgoing weights of 0, as continual backprop does
    (Dohare et al. 2024)."""
    _draw_incoming(birth)
    birth.above.weight[:, birth.slots] = 0


def _draw_incoming(birth: Birth) -> None:
    weight, bias = birth.below
    fan_in = weight.shape[1]
    weight[birth.slots] = draw(birth.rng, birth.init.weight(fan_in), (len(birth.slots), fan_in)).to(weight)
    bias[0, birth.slots] = draw(birth.rng, birth.init.bias(fan_in), (len(birth.slots),)).to(bias)


Insertion = Callable[[Birth], None]

INSERTIONS: dict[str, Insertion] = {"dormant": dormant, "fresh": fresh, "zero_out": zero_out}
