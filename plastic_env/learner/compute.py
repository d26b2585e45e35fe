"""Multiply-accumulates, at live width and per sample: they do not depend on how batches are stacked.

Only matrix products and convolutions are counted; elementwise work (activations, normalisation, pooling, biases,
optimizer) is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from plastic_env.learner.network import Network


def layer_macs(network: Network, widths: Sequence[int]) -> list[int]:
    """One sample through each layer; widths: input units, live units of each hidden layer, classes."""
    return [
        below * stage.block * above * stage.positions
        for stage, below, above in zip(network.stages, widths[:-1], widths[1:], strict=True)
    ]


def forward_macs(network: Network, widths: Sequence[int]) -> int:
    """One sample through all layers."""
    return sum(layer_macs(network, widths))


def training_macs(network: Network, widths: Sequence[int]) -> int:
    """One sample forward and backward: gradients of all weights, and of all activations but the inputs."""
    macs = layer_macs(network, widths)
    return 3 * sum(macs) - macs[0]
