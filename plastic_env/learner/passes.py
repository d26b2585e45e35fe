"""What a pass over some learners of a population needs to know of them: modes, classes, ages and speeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.activations import Activation, Uniform
from plastic_env.learner.factors import Timing
from plastic_env.learner.normalisation import Crowd
from plastic_env.learner.stages import Mode
from plastic_env.learner.state import State
from plastic_env.learner.trainability import unit_factors


def stage_modes(
    state: State, members: Sequence[int], function: Activation, noise_rngs: Sequence[torch.Generator] | None = None
) -> list[Mode]:
    """How the hidden stages are to be run.

    noise_rngs: the learners' generators in training; None otherwise.
    """
    modes = []
    for layer, stage in enumerate(state.network.hidden):
        here = function if noise_rngs is None else function.training(_uniform(noise_rngs, stage.slots))
        crowd = None if stage.norm is None else _crowd(state, layer, members)
        modes.append(Mode(here, crowd, "batch" if noise_rngs is None else "update"))
    return modes


def unknown_classes(state: State, members: Sequence[int]) -> Tensor | None:
    """[m, 1, classes] -inf for classes that only others have, else 0; None if all have the same."""
    known = torch.from_numpy(state.units[-1].exists[members])
    if known.all():
        return None
    known = known.to(state.weights.device)
    return state.weights.new_zeros(known.shape).masked_fill_(~known, -torch.inf)[:, None]


def timing(state: State, members: Sequence[int], updates: int) -> Timing:
    """Ages of optimizer states, and speeds in the coming updates."""
    now, first = state.updates[members], state.units[0].clock[members][:, :1]
    # padding must be of some age, and must not make a learner's ages look mixed
    found = Timing(now, [np.where(units.exists[members], units.clock[members], first) for units in state.units])
    if all(phase.over(now[row]) for row, member in enumerate(members) for phase in state.phases[member]):
        return found
    speeds = [np.ones((updates, *starts.shape)) for starts in found.starts]
    for row, member in enumerate(members):
        phases, steps = state.phases[member], now[row] + np.arange(updates)
        for layer, factors in enumerate(speeds):
            cohorts = state.units[layer].of(member).cohort
            factors[:, row, : len(cohorts)] = unit_factors(phases, cohorts, steps)
    return replace(found, speeds=speeds)


def _crowd(state: State, layer: int, members: Sequence[int]) -> Crowd:
    live = torch.from_numpy(state.units[layer].exists[members]).to(state.weights)[:, None]
    return Crowd(live.sum(-1, keepdim=True), None if live.all() else live)


def _uniform(generators: Sequence[torch.Generator], slots: int) -> Uniform:
    """Random numbers for the activations of a layer, from each learner's own generator."""

    def draw(z: Tensor, row: int | None) -> Tensor:
        # drawn for all slots: what a learner draws must not depend on its neighbours' padding
        shape = (*z.shape[int(row is None) : -1], slots)
        rows = generators if row is None else [generators[row]]
        found = [torch.rand(shape, generator=g, dtype=z.dtype, device=g.device) for g in rows]
        return (torch.stack(found) if row is None else found[0])[..., : z.shape[-1]].to(z.device)

    return draw
