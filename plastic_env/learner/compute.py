"""What a network costs at live width: multiply-accumulates per sample, whatever batches it is stacked in; parameters.

As multiply-accumulates, only matrix products and convolutions are counted; elementwise work (activations,
normalisation, pooling, biases, optimizer) is not.
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


def parameters(network: Network, widths: Sequence[int]) -> int:
    """Weights, biases, and the gains and shifts of normalisation; widths as above."""
    return sum(
        above * (below * stage.block + (1 if stage.norm is None else 3))
        for stage, below, above in zip(network.stages, widths[:-1], widths[1:], strict=True)
    )
