"""What selection rules look at: one hidden layer of several learners on the probe batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.parameters import Layer
from plastic_env.learner.stages import Mode, Saved, Stage, by_unit


class LayerView(Protocol):
    """One hidden layer of m learners, u units each (padding included), on the probe batch.

    When growing, the units are all slots of the layer, wired by their initial weights to the live units below and
    above; when pruning or recycling, they are the live ones. What is looked at is computed then, and charged to the
    learner where it is more than what the probe has measured. Samples are those of the batch, times the positions in
    conv layers, times the outputs of a unit. A unit feeds the next layer by `block` numbers per sample.
    """

    @property
    def incoming(self) -> Tensor:
        """Weights [m, u, columns]."""
        ...

    @property
    def outgoing(self) -> Tensor:
        """Weights [m, units above, block, u]."""
        ...

    @property
    def exists(self) -> Tensor:
        """[m, u] bool: a unit, no padding."""
        ...

    @property
    def ids(self) -> Tensor:
        """[m, u] in order of birth, -1 for dormant units."""
        ...

    @property
    def rngs(self) -> Sequence[np.random.Generator]:
        """One per learner."""
        ...

    @property
    def capacity(self) -> int:
        """Slots of the layer."""
        ...

    @property
    def activation(self) -> Tensor:
        """Post-activations h, before pooling, [m, samples, u]."""
        ...

    @property
    def fed(self) -> Tensor:
        """Mean |what the unit feeds to the next layer| over samples, [m, block, u]."""
        ...

    @property
    def gradient(self) -> Tensor:
        """dL/dz of each unit, as if it were live, [m, samples, u]."""
        ...

    @property
    def incoming_gradient(self) -> Tensor:
        """dL/d incoming weights, [m, u, columns]."""
        ...

    @property
    def outgoing_gradient(self) -> Tensor:
        """dL/d outgoing weights, [m, units above, block, u]."""
        ...


@dataclass(frozen=True)
class LiveView:
    """Live units: the probe has measured all there is to see."""

    activation: Tensor
    gradient: Tensor
    feeds: Tensor  # [m, batch, ...] what the layer gives to the next
    into: Layer
    out: Layer
    into_gradient: Layer
    out_gradient: Layer
    upper: Stage
    exists: Tensor
    ids: Tensor
    rngs: Sequence[np.random.Generator]
    capacity: int

    @property
    def incoming(self) -> Tensor:
        """Weights [m, u, columns]."""
        return self.into.weight

    @property
    def outgoing(self) -> Tensor:
        """Weights [m, units above, block, u]."""
        return self.out.blocks(self.upper.block).mT

    @property
    def fed(self) -> Tensor:
        """[m, block, u]."""
        return _fed(self.upper, self.feeds)

    @property
    def incoming_gradient(self) -> Tensor:
        """[m, u, columns]."""
        return self.into_gradient.weight

    @property
    def outgoing_gradient(self) -> Tensor:
        """[m, units above, block, u]."""
        return self.out_gradient.blocks(self.upper.block).mT


@dataclass(frozen=True)
class SlotsView:
    """All slots of a layer, as if each were live and the others were not.

    With normalisation by sample, candidates are normalised by the live units' mean and deviation (`mode.given`).
    """

    stage: Stage
    upper: Stage  # that it feeds
    mode: Mode
    below: Tensor  # [m, batch, ...] what feeds the layer
    above: Tensor  # [m, batch, ..., units above] dL/dz of the layer that it feeds
    into: Layer  # of all slots, from live units
    out: Layer  # to live units; its weight [m, units above, slots * block] and no more is looked at
    rngs: Sequence[np.random.Generator]

    @property
    def incoming(self) -> Tensor:
        """Weights [m, u, columns]."""
        return self.into.weight

    @property
    def outgoing(self) -> Tensor:
        """Weights [m, units above, block, u]."""
        return self.out.blocks(self.upper.block).mT

    @property
    def exists(self) -> Tensor:
        """[m, u], all True."""
        return self.ids == -1

    @property
    def ids(self) -> Tensor:
        """[m, u], all -1."""
        return torch.full(self.incoming.shape[:2], -1, device=self.incoming.device)

    @property
    def capacity(self) -> int:
        """Slots."""
        return self.incoming.shape[1]

    @cached_property
    def activation(self) -> Tensor:
        """[m, samples, u]."""
        features = [trace.features for trace in self._forward[1]]
        stacked = features[0] if features[0].ndim == 3 else torch.stack(features)  # dense stages stack them
        return by_unit(stacked, self.mode.function.outputs)

    @cached_property
    def fed(self) -> Tensor:
        """[m, block, u]."""
        return _fed(self.upper, self._forward[0])

    @cached_property
    def gradient(self) -> Tensor:
        """[m, samples, u]."""
        return by_unit(self._delta)

    @cached_property
    def incoming_gradient(self) -> Tensor:
        """[m, u, columns]."""
        found = Layer(torch.empty_like(self.into.weight), torch.empty_like(self.into.vectors))
        self.stage.backward(self.into, self._delta, self.below, found, below=False)
        return found.weight

    @cached_property
    def outgoing_gradient(self) -> Tensor:
        """[m, units above, block, u]."""
        found = Layer(torch.empty_like(self.out.weight), torch.empty_like(self.out.vectors))
        self.upper.backward(self.out, self.above, self._forward[0], found, below=False)
        return found.blocks(self.upper.block).mT

    @cached_property
    def _forward(self) -> tuple[Tensor, Sequence[Saved]]:
        out, saved = self.stage.forward(self.into, self.below, self.mode)
        return self.upper.accept(out), saved

    @cached_property
    def _delta(self) -> Tensor:
        out, saved = self._forward
        below = self.upper.backward(self.out, self.above, out, None, below=True)
        assert below is not None
        delta = self.stage.undo(below, saved, self.into, None, self.mode)
        return delta if isinstance(delta, Tensor) else torch.stack(delta)

    def macs(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Multiply-accumulates per unit and sample of what was looked at, between layers of these live widths [m]."""
        into = below * self.stage.block * self.stage.positions
        out = above * self.upper.block * self.upper.positions
        costs = {"_forward": into, "_delta": out, "incoming_gradient": into, "outgoing_gradient": out}
        return sum((cost for name, cost in costs.items() if name in vars(self)), np.zeros_like(below))


def _fed(upper: Stage, x: Tensor) -> Tensor:
    """Mean |x| of what feeds each column of `upper`, [m, block, units]."""
    return upper.column_means(x.abs()).unflatten(1, (-1, upper.block)).mT
