"""Probes: one look at learners on a batch that is not trained on, and what is read off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit
from plastic_env.learner import diagnostics
from plastic_env.learner.cohorts import CohortPoint, cohort_points, unit_parities
from plastic_env.learner.normalisation import Crowd
from plastic_env.learner.parameters import Layer, of_members
from plastic_env.learner.stages import Mode, Saved, Stage, by_unit
from plastic_env.learner.state import State

CACHED = 2**19  # numbers that are looked at together: more would have to be fetched from memory twice


@dataclass(frozen=True)
class Probe:
    """A forward and backward pass of m learners over a probe batch that is not trained on.

    Lists have one entry per layer, the head last. Batch normalisation takes the probe batch's own statistics.
    """

    members: list[int]  #: their numbers in the population
    state: State  #: that was probed
    updates: np.ndarray  #: [m] of each learner when it was
    losses: Tensor  #: [m, batch] of each sample
    modes: list[Mode]  #: of the hidden layers
    inputs: list[Tensor]  #: what fed each layer: dense [m, batch, columns], conv [m, batch, height, width, channels]
    saved: list[Sequence[Saved]]  #: by the hidden layers
    stage_deltas: list[Tensor]  #: dL/dz of each layer: dense [m, batch, units], conv [m, batch, height, width, units]
    weight_norms: dict[int, Tensor]  #: [m] mean |weight| of each editable layer
    parameter_gradients: Tensor  #: flat [m, size], in the state's layout
    targets: Tensor  #: [m, batch] labels, or [m, batch, outputs] values

    @property
    def gradients(self) -> list[Layer]:
        """Gradients of the parameters, layer by layer."""
        return self.state.layout.views(self.parameter_gradients)

    @property
    def loss(self) -> Tensor:
        """[m] mean over the batch."""
        return self.losses.mean(-1)

    @property
    def samples(self) -> int:
        """Size of the batch."""
        return self.inputs[0].shape[1]

    @property
    def deltas(self) -> list[Tensor]:
        """dL/dz of each layer [m, samples, units]; positions count as samples."""
        return [by_unit(delta) for delta in self.stage_deltas]

    def features(self, layer: int) -> Tensor:
        """Post-activations of a hidden layer [m, samples, units]; positions and a unit's outputs count as samples."""
        return by_unit(self._stack([saved.features for saved in self.saved[layer]]), self.modes[layer].function.outputs)

    def rows(self, members: Sequence[int]) -> list[int]:
        """Where these members are in the probe.

        Raises:
            InvalidEdit: one of them has not been probed.
        """
        row = {member: row for row, member in enumerate(self.members)}
        for member in members:
            if member not in row:
                raise InvalidEdit(f"The probe is of the learners {self.members}, not of {member}; probe it, too.")
        return [row[member] for member in members]

    def seen(self, t: Tensor, members: Sequence[int]) -> Tensor:
        """These members' rows of something in the probe, [m, ...]; itself if they are all of it."""
        return t if members == self.members else t[self.rows(members)]

    def of(self, member: int) -> Sight:
        """What was seen of one learner."""
        return Sight(self, self.rows([member])[0])

    def candidate_mode(self, layer: int, rows: list[int]) -> Mode:
        """How to run units of a layer that are not live yet beside the live ones."""
        mode, norm = self.modes[layer], self.state.network.hidden[layer].norm
        given = None
        if norm is not None and norm.over == "units":
            normals = [saved.normal for saved in self.saved[layer] if saved.normal is not None]
            mean, inverse = (self._stack([getattr(normal, name) for normal in normals]) for name in ("mean", "inverse"))
            given = mean[rows], inverse[rows]
        crowd = None if mode.crowd is None else Crowd(mode.crowd.units[rows], None)
        return mode._replace(crowd=crowd, given=given)

    def _stack(self, found: list[Tensor]) -> Tensor:
        """What dense layers give is stacked; conv layers give one tensor per learner."""
        return found[0] if found[0].ndim == 3 else torch.stack(found)


@dataclass(frozen=True)
class Sight:
    """What a probe saw of one learner."""

    probe: Probe
    row: int  #: of the learner in the probe

    def inputs(self, layer: int) -> Tensor:
        """[samples, columns] what feeds a dense layer, the head included; padding included."""
        return self.probe.inputs[layer][self.row]

    def deltas(self, layer: int) -> Tensor:
        """[samples, units] dL/dz of a dense layer, the head included; padding included."""
        return self.probe.stage_deltas[layer][self.row]

    def column_means(self, layer: int) -> Tensor:
        """[columns] mean of what feeds each column of a layer's weights; padding included."""
        stage = self.probe.state.network.stages[layer]
        return stage.column_means(self.probe.inputs[layer][[self.row]])[0]


@dataclass(frozen=True)
class Diagnosis:
    """Diagnostics of m learners, float64 arrays; all but the loss are [m, editable layers].

    Norms are means of |.| over a layer's live weights: of the weights, their gradient on the probe batch, and what the
    latest update changed.

    Log-parities compare the newest cohort with all older units; where `comparable` is False one of
    the two is empty and all log-parities are 0.
    """

    loss: np.ndarray  #: [m]
    comparable: np.ndarray  #: bool
    newborn: np.ndarray  #: fraction of live units in the newest cohort, 0 for the founders
    age: np.ndarray  #: mean updates since birth
    log_activation_parity: np.ndarray  #: of the active fraction, in [-5, 5]
    log_gradient_parity: np.ndarray  #: of mean |dL/dz|, in [-5, 5]
    log_utility_parity: np.ndarray  #: of contribution, over the incumbents' median, in [-5, 5]
    dormant: np.ndarray  #: fraction of live units with a ReDo score of at most .025
    dead: np.ndarray  #: fraction of live units that are zero on every sample
    effective_rank: np.ndarray  #: of the features, from 1 to the number of live units
    stable_rank: np.ndarray  #: likewise
    srank: np.ndarray  #: likewise
    weight_norm: np.ndarray  #: as said above
    gradient_norm: np.ndarray  #: likewise
    update_norm: np.ndarray  #: likewise


def diagnose(probe: Probe, *, ranks: bool = True) -> Diagnosis:
    """All diagnostics of the probed learners. A frozen learner's are finite, but mean nothing.

    ranks: whether to measure the three ranks of the features; they take longer than all the rest, and are 0 if not.
    """
    editable, gradients = probe.state.network.editable, probe.gradients
    crowds = {layer: _crowds(probe, layer) for layer in editable}
    layers = [_measure_layer(probe, gradients, layer, crowds[layer], ranks) for layer in editable]
    counts = [_count_layer(probe, layer, crowds[layer]) for layer in editable]
    stacked = torch.stack([torch.stack([layer[name].double() for layer in layers], -1) for name in layers[0]])
    finite = np.nan_to_num(stacked.cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
    found = dict(zip(layers[0], finite, strict=True))
    found |= {name: np.stack([layer[name] for layer in counts], 1) for name in counts[0]}
    for name in ("log_activation_parity", "log_gradient_parity", "log_utility_parity"):
        found[name] = np.where(found["comparable"], found[name], 0.0)
    loss = np.nan_to_num(probe.loss.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
    return Diagnosis(loss=loss, **found)


@dataclass(frozen=True)
class Removal:
    """What an edit removed from one learner, [editable layers]; NaN in layers that lost no unit or kept none.

    log_activation_parity, log_gradient_parity: of the removed units against the kept ones, before the edit.
    stability: change of activation that the edit brought the survivors, relative to what it was (arXiv 2605.15435,
        survivor stability).
    """

    log_activation_parity: np.ndarray
    log_gradient_parity: np.ndarray
    stability: np.ndarray


def measure_removal(before: Probe, after: Probe, members: Sequence[int]) -> dict[int, Removal]:
    """Compare the units that an edit removed with those that it kept, by probes of the same batch around it."""
    here, there, editable = before.rows(members), after.rows(members), before.state.network.editable
    table = np.full((len(members), 3, len(editable)), np.nan)
    for at, layer in enumerate(editable):
        old, new = (state.units[layer].id[members] for state in (before.state, after.state))  # [m, width]
        same = (old[:, :, None] == new[:, None, :]) & (old >= 0)[:, :, None]
        kept, place = same.any(2), same.argmax(2)
        told = kept.any(1) & ((old >= 0) & ~kept).any(1)
        if not told.any():
            continue
        features, later, deltas = before.features(layer)[here], after.features(layer)[there], before.deltas[layer][here]
        moved = later.gather(2, torch.from_numpy(place).to(later.device)[:, None].expand(-1, features.shape[1], -1))
        removed, survived = (torch.from_numpy(m).to(features.device) for m in ((old >= 0) & ~kept, kept))
        found = [
            diagnostics.log_parity(diagnostics.active_fraction(features), removed, survived),
            diagnostics.log_parity(deltas.abs().mean(1), removed, survived),
            diagnostics.survivor_stability(features * survived[:, None], moved * survived[:, None]),
        ]
        table[told, :, at] = torch.stack(found, 1).double().cpu().numpy()[told]
    return {member: Removal(*values) for member, values in zip(members, table, strict=True)}


def measure_cohorts(probe: Probe) -> dict[int, list[CohortPoint]]:
    """Every live cohort of each probed learner, measured against the units older than it."""
    state = probe.state
    points: dict[int, list[CohortPoint]] = {member: [] for member in probe.members}
    for at, layer in enumerate(state.network.editable):
        if not (state.units[layer].cohort[probe.members] > 0).any():
            continue
        active = diagnostics.active_fraction(probe.features(layer)).double().cpu().numpy()
        gradient = probe.deltas[layer].abs().mean(-2).double().cpu().numpy()
        for row, member in enumerate(probe.members):
            units = state.units[layer].of(member)
            if units.cohort.any() and not state.frozen[member]:
                seen = (values[row, : len(units)] for values in (active, gradient))
                points[member] += cohort_points(at, units, int(probe.updates[row]), *seen)
    return points


def gradient_parities(probe: Probe, member: int) -> list[np.ndarray]:
    """Of each editable layer, [live] every unit's log gradient parity by itself (`unit_parities`); NaN where gradients
    are not finite."""
    (row,), found = probe.rows([member]), []
    for layer in probe.state.network.editable:
        units = probe.state.units[layer].of(member)
        gradient = probe.deltas[layer][row].abs().mean(0).double().cpu().numpy()[: len(units)]
        sound = np.isfinite(gradient).all()
        found.append(unit_parities(units, gradient) if sound else np.full(len(units), np.nan))
    return found


def _crowds(probe: Probe, layer: int) -> np.ndarray:
    """[3, m, width] bool: the live units, the newest cohort (but for the founders), all older ones."""
    cohort = probe.state.units[layer].cohort[probe.members]
    live, newest = cohort >= 0, cohort.max(1, keepdims=True)
    newborn = (cohort == newest) & (newest > 0)
    return np.stack([live, newborn, live & ~newborn])


def _measure_layer(
    probe: Probe, gradients: Sequence[Layer], layer: int, crowds: np.ndarray, ranks: bool
) -> dict[str, Tensor]:
    """What is measured on the batch, [m] each."""
    state, members, features = probe.state, probe.members, probe.features(layer)
    if state.frozen[members].any():
        features = features.clone()
        features[torch.from_numpy(state.frozen[members])] = 0
    live, newborn, incumbent = torch.from_numpy(crowds).to(features)
    seen = torch.stack([diagnostics.active_fraction(features), probe.deltas[layer].abs().mean(-2)])
    log_activation_parity, log_gradient_parity = diagnostics.log_parity(seen, newborn, incumbent)
    measured = {
        "log_activation_parity": log_activation_parity,
        "log_gradient_parity": log_gradient_parity,
        "log_utility_parity": diagnostics.log_utility_parity(_contributions(probe, layer), newborn, incumbent),
        "dormant": diagnostics.dormant_fraction(features, live),
        "dead": diagnostics.dead_fraction(features, live),
        "weight_norm": probe.weight_norms[layer],
        "gradient_norm": mean_size(state, gradients, members, layer),
        "update_norm": torch.from_numpy(state.update_norms[members, layer]).to(features.device),
    }
    rules = (diagnostics.effective_rank, diagnostics.stable_rank, diagnostics.srank)
    if not ranks:
        return measured | {rule.__name__: features.new_zeros(len(members)) for rule in rules}
    widest = int(state.units[layer].live[members].max())  # beyond, there is padding only
    singular = diagnostics.singular_values(features[..., :widest])
    return measured | {rule.__name__: rule(singular) for rule in rules}


def fed(upper: Stage, x: Tensor) -> Tensor:
    """Mean |x| of what feeds each column of `upper`, [m, block, units]."""
    return upper.column_means(x.abs()).unflatten(1, (-1, upper.block)).mT


def _contributions(probe: Probe, layer: int) -> Tensor:
    """[m, units] what each unit of a hidden layer contributes to the next one."""
    state, upper = probe.state, probe.state.network.stages[layer + 1]
    outgoing = state.layout.views(state.weights)[layer + 1].blocks(upper.block).mT
    return diagnostics.contribution(fed(upper, probe.inputs[layer + 1]), of_members(outgoing, probe.members))


def _count_layer(probe: Probe, layer: int, crowds: np.ndarray) -> dict[str, np.ndarray]:
    """What follows from the bookkeeping, [m] each."""
    live, newborn, incumbent = crowds
    units, age = live.sum(1), probe.updates[:, None] - probe.state.units[layer].born[probe.members]
    return {
        "comparable": newborn.any(1) & incumbent.any(1),
        "newborn": newborn.sum(1) / units,
        "age": np.where(live, age, 0).sum(1) / units,
    }


def mean_size(state: State, layers: Sequence[Layer], members: Sequence[int], layer: int) -> Tensor:
    """[m] mean of |.| over the live weights of a layer; layers: of `members`, in the state's layout."""
    weight = layers[layer].weight
    below = state.units[layer - 1].live[members] if layer else state.network.input_units
    live = state.units[layer].live[members] * below * state.layout.blocks[layer]
    few = max(1, CACHED // weight.shape[1:].numel())
    sums = torch.cat([some.abs().sum((1, 2)) for some in weight.split(few)])
    return sums / torch.from_numpy(live).to(weight)
