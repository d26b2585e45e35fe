"""Scoring the units of a population for its edits, by the rules of `selection.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit
from plastic_env.learner.edits import Edit, requests
from plastic_env.learner.parameters import Layer, of_live, pick
from plastic_env.learner.probing import Probe
from plastic_env.learner.selection import SelectionRule, find_rule, score
from plastic_env.learner.state import State
from plastic_env.learner.transaction import Worths
from plastic_env.learner.views import CandidateView, LiveView


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
    asked: dict[tuple[str, int, SelectionRule], list[int]] = {}
    wanted = requests(edits, state)
    for kind, table in wanted.items():
        asking = np.flatnonzero(table.any(1)).tolist()
        rules = {member: find_rule(kind, getattr(edits[member], f"{kind}_rule")) for member in asking}
        for layer in state.network.editable:
            for member in np.flatnonzero(table[:, layer]).tolist():
                asked.setdefault((kind, layer, rules[member]), []).append(member)
    worths: dict[tuple[int, str], np.ndarray] = {}
    macs = np.zeros(len(state.updates), dtype=np.int64)
    for (kind, layer, rule), members in asked.items():
        if probe is None:
            raise InvalidEdit("This edit selects units; give a probe of the learners as they are now.")
        generators, stage = [rngs[member] for member in members], state.network.hidden[layer]
        if kind == "grow":
            candidates = _candidates(state, layer, members, wanted["prune"][members, layer])
            view = candidate_view(probe, layer, members, generators, candidates)
            rows, units = np.nonzero(view.places >= 0)
            table = worths.setdefault((layer, kind), np.zeros((len(state.updates), stage.slots)))
            table[np.array(members)[rows], view.places[rows, units]] = score(rule, view)[rows, units]
            below, above = (_live(state, at)[members] for at in (layer - 1, layer + 1))
            macs[members] += probe.samples * candidates.sum(1) * view.macs(below, above)
        else:
            found = score(rule, LiveView(probe, layer, members, generators))
            worths.setdefault((layer, kind), np.zeros((len(state.updates), found.shape[1])))[members] = found
    return worths, {member: int(macs[member]) for member in edits}


def _live(state: State, layer: int) -> np.ndarray:
    """[n] live units of a layer; the inputs stand below the first one."""
    return state.units[layer].live if layer >= 0 else np.full(len(state.updates), state.network.input_units)


def _candidates(state: State, layer: int, members: list[int], pruned: np.ndarray) -> np.ndarray:
    """[m, slots] bool: slots that may be live after an edit and aren't now: dormant ones, or all if some are pruned."""
    slots, slot = state.network.hidden[layer].slots, state.units[layer].slot[members]
    taken = (slot >= 0) & (pruned == 0)[:, None]
    candidates = np.ones((len(members), slots + 1), dtype=bool)  # the last column is for those that aren't taken
    candidates[np.arange(len(members))[:, None], np.where(taken, slot, slots)] = False
    return candidates[:, :-1]


def candidate_view(
    probe: Probe, layer: int, members: list[int], rngs: Sequence[np.random.Generator], candidates: np.ndarray
) -> CandidateView:
    """Slots of a hidden layer of some learners, wired by their initial weights from and to live units.

    candidates: [m, slots] bool.
    """
    state, stages = probe.state, probe.state.network.stages
    stage, upper, device = stages[layer], stages[layer + 1], state.weights.device
    learner = torch.from_numpy(np.array(members)[:, None]).to(device)
    places = _padded(candidates)
    slots = torch.from_numpy(places.clip(0)).to(device)  # [m, u]
    into = state.initial[layer]
    weight = pick(into.weight, learner, slots)  # [m, u, slots below * block]
    if layer > 0:
        weight = _of_live(state, weight.unflatten(2, (-1, stage.block)), layer - 1, members).flatten(2)

    def wire() -> Tensor:
        columns = state.initial[layer + 1].blocks(upper.block).transpose(1, 2)[learner, slots]  # [m, u, above, block]
        return _of_live(state, columns, layer + 1, members).transpose(1, 2).flatten(2)

    return CandidateView(
        stage=stage,
        upper=upper,
        mode=probe.candidate_mode(layer, probe.rows(members)),
        below=probe.seen(probe.inputs[layer], members),
        above=probe.seen(probe.stage_deltas[layer + 1], members),
        into=Layer(weight, into.vectors.mT[learner, slots].mT),
        wire=wire,
        places=places,
        rngs=rngs,
    )


def _padded(mask: np.ndarray) -> np.ndarray:
    """[m, u] the columns where each row of `mask` is True, in order, then -1."""
    counts = mask.sum(1)
    places = np.full((len(mask), counts.max()), -1)
    places[np.arange(counts.max()) < counts[:, None]] = np.nonzero(mask)[1]
    return places


def _of_live(state: State, weight: Tensor, layer: int, members: list[int]) -> Tensor:
    """The weights [m, u, slots of `layer`, block] from or to live units only, in stored order, padded with zeros."""
    slot = torch.from_numpy(state.units[layer].slot[members]).to(weight.device)
    return of_live(weight, slot[:, None])
