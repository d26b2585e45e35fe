"""Probes: one look at learners on a batch that is not trained on, and what is read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner import diagnostics
from plastic_env.learner.cohorts import CohortPoint, cohort_points
from plastic_env.learner.state import State
from plastic_env.learner.transaction import Signals


@dataclass(frozen=True)
class Probe:
    """A forward and backward pass of m learners over a probe batch that is not trained on."""

    members: list[int]
    state: State  # that was probed
    updates: np.ndarray  # [m] of each learner when it was
    loss: Tensor  # [m]
    activations: list[Tensor]  # inputs, then per hidden layer [m, samples, units]
    deltas: list[Tensor]  # dL/dz per hidden layer, then dL/dlogits: [m, samples, units]
    weight_gradients: list[Tensor]  # per hidden layer: mean |dL/dw| over live weights, [m]
    weight_norms: list[Tensor]  # per hidden layer: mean |w| over live weights, [m]

    def signals(self, member: int) -> Signals:
        """What was seen of one learner."""
        row = self.members.index(member)
        return Signals([a[row] for a in self.activations], [d[row] for d in self.deltas])


@dataclass(frozen=True)
class Diagnosis:
    """Diagnostics of m learners, float64 arrays; those with a layer axis are [m, layers].

    Log-parities compare the newest cohort with all older units; where `comparable` is False one of
    the two is empty and both log-parities are 0.
    """

    loss: np.ndarray  # [m]
    comparable: np.ndarray  # bool
    newborn: np.ndarray  # fraction of live units in the newest cohort, 0 for the founders
    age: np.ndarray  # mean updates since birth
    log_activation_parity: np.ndarray
    log_gradient_parity: np.ndarray
    dormant: np.ndarray
    dead: np.ndarray
    effective_rank: np.ndarray
    stable_rank: np.ndarray
    srank: np.ndarray
    weight_norm: np.ndarray
    gradient_norm: np.ndarray


def diagnose(probe: Probe) -> Diagnosis:
    """All diagnostics of the probed learners. A frozen learner's are finite, but mean nothing."""
    layers = [_diagnose_layer(probe, layer) for layer in range(len(probe.state.capacity))]
    stacked = {name: np.stack([layer[name] for layer in layers], 1) for name in layers[0]}
    loss = np.nan_to_num(probe.loss.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
    return Diagnosis(loss=loss, **stacked)


def measure_cohorts(probe: Probe) -> dict[int, list[CohortPoint]]:
    """Every live cohort of each probed learner, measured against the units older than it."""
    state = probe.state
    points: dict[int, list[CohortPoint]] = {member: [] for member in probe.members}
    for layer in range(len(state.capacity)):
        active = diagnostics.active_fraction(probe.activations[layer + 1]).double().cpu().numpy()
        gradient = probe.deltas[layer].abs().mean(-2).double().cpu().numpy()
        for row, member in enumerate(probe.members):
            units = state.units[member][layer]
            if units.cohort.any() and not state.frozen[member]:
                seen = (values[row, : len(units)] for values in (active, gradient))
                points[member] += cohort_points(layer, units, int(probe.updates[row]), *seen)
    return points


def _diagnose_layer(probe: Probe, layer: int) -> dict[str, np.ndarray]:
    state, members = probe.state, probe.members
    cohort = state.padded(layer, "cohort", -1, members)  # [m, width]
    age = probe.updates[:, None] - state.padded(layer, "born", 0, members)
    live, newest = cohort >= 0, cohort.max(1, keepdims=True)
    newborn = (cohort == newest) & (newest > 0)
    incumbent = live & ~newborn
    comparable = newborn.any(1) & incumbent.any(1)
    features = probe.activations[layer + 1]
    if state.frozen[members].any():
        features = features.clone()
        features[torch.from_numpy(state.frozen[members])] = 0
    masks = [torch.from_numpy(mask).to(features.device) for mask in (live, newborn, incumbent)]
    active, singular = diagnostics.active_fraction(features), diagnostics.singular_values(features)
    measured = {
        "log_activation_parity": diagnostics.log_parity(active, *masks[1:]),
        "log_gradient_parity": diagnostics.log_parity(probe.deltas[layer].abs().mean(-2), *masks[1:]),
        "dormant": diagnostics.dormant_fraction(features, masks[0]),
        "dead": diagnostics.dead_fraction(features, masks[0]),
        "effective_rank": diagnostics.effective_rank(singular),
        "stable_rank": diagnostics.stable_rank(singular),
        "srank": diagnostics.srank(singular),
        "weight_norm": probe.weight_norms[layer],
        "gradient_norm": probe.weight_gradients[layer],
    }
    found = {
        name: np.nan_to_num(value.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        for name, value in measured.items()
    }
    for name in ("log_activation_parity", "log_gradient_parity"):
        found[name] = np.where(comparable, found[name], 0.0)
    units = live.sum(1)
    return found | {
        "comparable": comparable,
        "newborn": newborn.sum(1) / units,
        "age": np.where(live, age, 0).sum(1) / units,
    }
