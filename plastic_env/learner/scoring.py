"""Scoring the units of a population for its edits, by the rules of `selection.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit
from plastic_env.learner.edits import Edit, requests
from plastic_env.learner.parameters import Layer
from plastic_env.learner.probing import Probe
from plastic_env.learner.selection import Rule, find_rule, score
from plastic_env.learner.state import State
from plastic_env.learner.transaction import Worths
from plastic_env.learner.views import LiveView, SlotsView


def score_units(
    state: State, edits: Mapping[int, Edit], probe: Probe | None, rngs: Sequence[np.random.Generator]
) -> tuple[Worths, dict[int, int]]:
    """Score every unit that an edit may choose among; members that ask alike are scored at once.

    Returns:
        Worths, as `apply_edits` takes them, and by member the multiply-accumulates that they cost.

    Raises:
        InvalidEdit: there is no probe, or a rule returned something that can't be compared.
    """
    # kind by kind and layer by layer: the order of a learner's random draws must not depend on its neighbours
    asked: dict[tuple[str, int, Rule], list[int]] = {}
    wanted = requests(edits, state)
    for kind, table in wanted.items():
        for layer in state.network.editable:
            for member in np.flatnonzero(table[:, layer]).tolist():
                rule = find_rule(kind, getattr(edits[member], f"{kind}_rule"))
                asked.setdefault((kind, layer, rule), []).append(member)
    worths: dict[tuple[int, str], np.ndarray] = {}
    macs = np.zeros(len(state.updates), dtype=np.int64)
    for (kind, layer, rule), members in asked.items():
        if probe is None:
            raise InvalidEdit("This edit selects units; give a probe of the learners as they are now.")
        generators = [rngs[member] for member in members]
        if kind == "grow":
            slots = slots_view(probe, layer, members, generators)
            found = score(rule, slots)
            below, live, above = (_live(state, at)[members] for at in (layer - 1, layer, layer + 1))
            candidates = slots.capacity - live + wanted["prune"][members, layer]
            macs[members] += probe.samples * candidates * slots.macs(below, above)
        else:
            found = score(rule, live_view(probe, layer, members, generators))
        worths.setdefault((layer, kind), np.zeros((len(state.updates), found.shape[1])))[members] = found
    return worths, {member: int(macs[member]) for member in edits}


def _live(state: State, layer: int) -> np.ndarray:
    """[n] live units of a layer; the inputs stand below the first one."""
    return state.units[layer].live if layer >= 0 else np.full(len(state.updates), state.network.input_units)


def live_view(probe: Probe, layer: int, members: list[int], rngs: Sequence[np.random.Generator]) -> LiveView:
    """The live units of a hidden layer of some learners."""
    state, rows = probe.state, probe.rows(members)
    ids = torch.from_numpy(state.units[layer].id[members]).to(state.weights.device)
    layers = state.layout.views(state.weights)
    return LiveView(
        activation=probe.features(layer)[rows],
        gradient=probe.deltas[layer][rows],
        feeds=probe.inputs[layer + 1][rows],
        into=layers[layer].of(members),
        out=layers[layer + 1].of(members),
        into_gradient=probe.gradients[layer].of(rows),
        out_gradient=probe.gradients[layer + 1].of(rows),
        upper=state.network.stages[layer + 1],
        exists=ids >= 0,
        ids=ids,
        rngs=rngs,
        capacity=state.network.hidden[layer].slots,
    )


def slots_view(probe: Probe, layer: int, members: list[int], rngs: Sequence[np.random.Generator]) -> SlotsView:
    """All slots of a hidden layer of some learners, wired by their initial weights from and to live units."""
    state, rows, stages = probe.state, probe.rows(members), probe.state.network.stages
    everybody = members == list(range(len(state.updates)))
    into, out = (state.initial[at] if everybody else state.initial[at].of(members) for at in (layer, layer + 1))
    if layer > 0:
        into = Layer(
            _live_columns(state, into.blocks(stages[layer].block), layer - 1, members).flatten(2), into.vectors
        )
    out = _live_rows(state, out, layer + 1, members)
    return SlotsView(
        stage=stages[layer],
        upper=stages[layer + 1],
        mode=probe.candidate_mode(layer, rows),
        below=probe.inputs[layer][rows],
        above=probe.errors[layer + 1][rows],
        into=into,
        out=out,
        rngs=rngs,
    )


def _live_columns(state: State, weight: Tensor, layer: int, members: list[int]) -> Tensor:
    """The weights [m, rows, units of `layer`, block] of live units only, in stored order, padded with zeros."""
    slot = torch.from_numpy(state.units[layer].slot[members]).to(weight.device)[:, None, :, None]
    index = slot.clamp_min(0).expand(-1, weight.shape[1], -1, weight.shape[3])
    return weight.gather(2, index) * (slot >= 0)


def _live_rows(state: State, out: Layer, layer: int, members: list[int]) -> Layer:
    """The rows of `layer`'s live units only, in stored order, padded with zeros."""
    slot = torch.from_numpy(state.units[layer].slot[members]).to(out.weight.device)
    index, live = slot.clamp_min(0), slot >= 0
    weight = out.weight.gather(1, index[..., None].expand(-1, -1, out.weight.shape[2])) * live[..., None]
    vectors = out.vectors.gather(2, index[:, None].expand(-1, out.vectors.shape[1], -1)) * live[:, None]
    return Layer(weight, vectors)
