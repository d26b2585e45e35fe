"""Multiply-accumulates, at live width and per sample: they do not depend on how batches are stacked.

Only matrix products are counted; elementwise work (activations, biases, optimizer) is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def forward_macs(widths: Sequence[int]) -> int:
    """One sample through dense layers of the given widths, inputs and classes included."""
    return sum(below * above for below, above in pairwise(widths))


def training_macs(widths: Sequence[int]) -> int:
    """One sample forward and backward: gradients of all weights, and of all activations but the inputs."""
    return 3 * forward_macs(widths) - widths[0] * widths[1]
