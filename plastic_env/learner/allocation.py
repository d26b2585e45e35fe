"""Allocation: how a budget of weights becomes numbers of units per layer (arXiv 2605.15435, compactness)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from plastic_env.errors import InvalidSetting, is_whole, look_up
from plastic_env.learner.network import Network, Shape
from plastic_env.learner.settings import LearnerSettings

BIASES: dict[str, tuple[float, ...]] = {
    "fc1_protect": (1.5, 1.5, 0.6),
    "fc3_protect": (0.6, 0.6, 1.5),
    "ends_skewed": (1.2, 0.6, 1.2),
}


def allocate(
    inputs: int,
    slots: Sequence[int],
    compactness: float,
    bias: str | Sequence[float] = "neutral",
    blocks: Sequence[int] = (),
) -> tuple[int, ...]:
    """The unit counts of consecutive editable layers whose weights are a fraction `compactness` of all slots' weights.

    The weights are those into the layers; the head's don't count. Every layer gets the fraction s * bias of its
    slots, rounded, at least one unit and at most all slots, with the largest s that keeps to the budget.

    Args:
        inputs: units (channels, features) that feed the first layer. slots: of each layer.
        compactness: in (0, 1].
        bias: "neutral", a name in `BIASES` (for three layers), or one positive number per layer.
        blocks: weights from one unit below to one unit, for each layer: kernel * kernel in convolutions, height * width
            in a dense layer above one; () stands for 1 everywhere. `Network.blocks` of a learner has them.

    Raises:
        InvalidSetting: values outside of these, or a budget below one unit per layer. UnknownName: no such bias.
    """
    shares = _shares(bias, len(slots))
    if not 0 < compactness <= 1:
        raise InvalidSetting(f"compactness is {compactness!r}; give a fraction in (0, 1].")
    blocks = blocks or (1,) * len(slots)
    if not slots or not all(is_whole(n, 1) for n in (inputs, *slots, *blocks)) or len(blocks) != len(slots):
        raise InvalidSetting(
            f"inputs={inputs!r}, slots={slots!r}, blocks={blocks!r}; give whole numbers of at least 1, one of slots "
            "and blocks for each layer."
        )
    budget = compactness * _size(inputs, slots, blocks) * (1 + 1e-12)  # .29 * 100 is less than 29 in floating point
    best = (1,) * len(slots)
    if _size(inputs, best, blocks) > budget:
        raise InvalidSetting(
            f"compactness {compactness} allows {int(budget)} weights, but one unit per layer has "
            f"{_size(inputs, best, blocks)}; give a larger one."
        )
    full = np.array(slots) * shares
    for s in np.unique(np.concatenate([(np.arange(1, n) + 0.5) / f for n, f in zip(slots, full, strict=True)])):
        counts = tuple(int(np.clip(np.floor(s * f + 0.5 + 1e-9), 1, n)) for n, f in zip(slots, full, strict=True))
        if _size(inputs, counts, blocks) > budget:
            break
        best = counts
    return best


def allocate_units(
    learner: LearnerSettings, inputs: Shape, outputs: int, compactness: float, bias: str | Sequence[float] = "neutral"
) -> tuple[int, ...]:
    """`allocate` for the editable layers of such a learner, which must follow one another; the layers below and the
    head don't count.

    Args:
        inputs: features, or channels, height and width. outputs: classes.

    Raises:
        InvalidSetting, UnknownName: as `allocate`; or a layer that is not editable lies between two that are.
    """
    network = Network.of(learner, inputs, outputs)
    first, last = network.editable[0], network.editable[-1]
    if len(network.editable) <= last - first:
        raise InvalidSetting(f"hidden is {learner.hidden!r}; units are allocated to editable layers in a row only.")
    below = network.input_units if first == 0 else learner.live_of(learner.layers[first - 1])
    return allocate(below, learner.slots, compactness, bias, network.blocks[first : last + 1])


def _size(inputs: int, widths: Sequence[int], blocks: Sequence[int]) -> int:
    return sum(below * block * above for (below, above), block in zip(pairwise((inputs, *widths)), blocks, strict=True))


def _shares(bias: str | Sequence[float], layers: int) -> np.ndarray:
    if bias == "neutral":
        return np.ones(layers)
    named = look_up(BIASES, bias, "allocation bias (or neutral)") if isinstance(bias, str) else bias
    shares = np.array(named, dtype=float)
    if shares.shape != (layers,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise InvalidSetting(f"The bias {bias!r} is {shares.tolist()}; give {layers} positive numbers, one per layer.")
    return shares
