"""What selection rules look at: one hidden layer of several learners on the probe batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.parameters import Layer, of_members
from plastic_env.learner.probing import Probe, fed
from plastic_env.learner.stages import Mode, Saved, Stage, by_unit
from plastic_env.learner.state import Units


class LayerView(Protocol):
    """One hidden layer of m learners, u units each (padding included), on the probe batch.

    When growing, the units are the candidates, dormant slots wired by their initial weights to the live units below
    and above; when pruning or recycling, they are the live ones. What is looked at is computed then, and charged to
    the learner where it is more than what the probe has measured. Samples are those of the batch, times the positions
    in conv layers, times the outputs of a unit. A unit feeds the next layer by `block` numbers per sample.
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
    def places(self) -> np.ndarray:
        """[m, u] where each unit is stored or, of candidates, its slot; -1 for padding."""
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
    """The live units of a layer: the probe has measured all there is to see.

    layer: among the hidden ones. members: the learners' numbers. rngs: one per learner.
    """

    probe: Probe
    layer: int
    members: list[int]
    rngs: Sequence[np.random.Generator]

    @cached_property
    def incoming(self) -> Tensor:
        """Weights [m, u, columns]."""
        return of_members(self.probe.state.layout.views(self.probe.state.weights)[self.layer].weight, self.members)

    @cached_property
    def outgoing(self) -> Tensor:
        """Weights [m, units above, block, u]."""
        layers = self.probe.state.layout.views(self.probe.state.weights)
        return of_members(layers[self.layer + 1].blocks(self._upper.block).mT, self.members)

    @cached_property
    def exists(self) -> Tensor:
        """[m, u] bool."""
        return self.ids >= 0

    @cached_property
    def ids(self) -> Tensor:
        """[m, u], -1 for padding."""
        return torch.from_numpy(self._units.id[self.members]).to(self.probe.state.weights.device)

    @property
    def places(self) -> np.ndarray:
        """[m, u]."""
        exists = self._units.exists[self.members]
        return np.where(exists, np.arange(exists.shape[1]), -1)

    @property
    def capacity(self) -> int:
        """Slots."""
        return self.probe.state.network.hidden[self.layer].slots

    @cached_property
    def activation(self) -> Tensor:
        """[m, samples, u]."""
        return self._seen(self.probe.features(self.layer))

    @cached_property
    def fed(self) -> Tensor:
        """[m, block, u]."""
        return fed(self._upper, self._seen(self.probe.inputs[self.layer + 1]))

    @cached_property
    def gradient(self) -> Tensor:
        """[m, samples, u]."""
        return self._seen(self.probe.deltas[self.layer])

    @cached_property
    def incoming_gradient(self) -> Tensor:
        """[m, u, columns]."""
        return self._seen(self.probe.gradients[self.layer].weight)

    @cached_property
    def outgoing_gradient(self) -> Tensor:
        """[m, units above, block, u]."""
        return self._seen(self.probe.gradients[self.layer + 1].blocks(self._upper.block).mT)

    @property
    def _units(self) -> Units:
        return self.probe.state.units[self.layer]

    @property
    def _upper(self) -> Stage:
        return self.probe.state.network.stages[self.layer + 1]

    def _seen(self, t: Tensor) -> Tensor:
        return self.probe.seen(t, self.members)


@dataclass(frozen=True)
class CandidateView:
    """Dormant slots of a layer, as if each were live and the others were not.

    With normalisation by sample, candidates are normalised by the live units' mean and deviation (`mode.given`).

    stage: the layer. places: [m, u] the slots, -1 for padding. rngs: one per learner.
    """

    stage: Stage
    upper: Stage  #: that it feeds
    mode: Mode
    below: Tensor  #: [m, batch, ...] what feeds the layer
    above: Tensor  #: [m, batch, ..., units above] dL/dz of the layer that it feeds
    into: Layer  #: of the candidates, from live units
    wire: Callable[[], Tensor]  #: weights to live units, [m, units above, u * block], if anybody asks
    places: np.ndarray
    rngs: Sequence[np.random.Generator]

    @property
    def incoming(self) -> Tensor:
        """Weights [m, u, columns]."""
        return self.into.weight

    @property
    def outgoing(self) -> Tensor:
        """Weights [m, units above, block, u]."""
        return self._out.blocks(self.upper.block).mT

    @property
    def exists(self) -> Tensor:
        """[m, u] bool."""
        return torch.from_numpy(self.places >= 0).to(self.incoming.device)

    @property
    def ids(self) -> Tensor:
        """[m, u], all -1."""
        return torch.full(self.incoming.shape[:2], -1, device=self.incoming.device)

    @property
    def capacity(self) -> int:
        """Slots."""
        return self.stage.slots

    @cached_property
    def activation(self) -> Tensor:
        """[m, samples, u]."""
        features = [saved.features for saved in self._forward[1]]
        stacked = features[0] if features[0].ndim == 3 else torch.stack(features)  # dense stages stack them
        return by_unit(stacked, self.mode.function.outputs)

    @cached_property
    def fed(self) -> Tensor:
        """[m, block, u]."""
        return fed(self.upper, self._forward[0])

    @cached_property
    def gradient(self) -> Tensor:
        """[m, samples, u]."""
        return by_unit(self._delta)

    @cached_property
    def incoming_gradient(self) -> Tensor:
        """[m, u, columns]."""
        found = Layer(torch.empty_like(self.into.weight), torch.empty_like(self.into.vectors))
        self.stage.backward_linear(self.into, self._delta, self.below, found, below=False)
        return found.weight

    @cached_property
    def outgoing_gradient(self) -> Tensor:
        """[m, units above, block, u]."""
        found = Layer(torch.empty_like(self._out.weight), torch.empty_like(self._out.vectors))
        self.upper.backward_linear(self._out, self.above, self._forward[0], found, below=False)
        return found.blocks(self.upper.block).mT

    @cached_property
    def _out(self) -> Layer:
        weight = self.wire()
        return Layer(weight, weight.new_zeros(len(weight), 1, weight.shape[1]))  # no bias is looked at

    @cached_property
    def _forward(self) -> tuple[Tensor, Sequence[Saved]]:
        out, saved = self.stage.forward(self.into, self.below, self.mode)
        return self.upper.accept(out), saved

    @cached_property
    def _delta(self) -> Tensor:
        out, saved = self._forward
        below = self.upper.backward_linear(self._out, self.above, out, None, below=True)
        assert below is not None
        delta = self.stage.backward_nonlinear(below, saved, self.into, None, self.mode)
        return delta if isinstance(delta, Tensor) else torch.stack(delta)

    def macs(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Multiply-accumulates per unit and sample of what was looked at, between layers of these live widths [m]."""
        into = below * self.stage.block * self.stage.positions
        out = above * self.upper.block * self.upper.positions
        costs = {"_forward": into, "_delta": out, "incoming_gradient": into, "outgoing_gradient": out}
        return sum((cost for name, cost in costs.items() if name in vars(self)), np.zeros_like(below))
