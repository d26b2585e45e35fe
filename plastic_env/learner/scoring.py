"""Scoring the units of a population for its edits, by the rules of `selection.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidEdit
from plastic_env.learner.activations import Activation
from plastic_env.learner.edits import KINDS, Edit
from plastic_env.learner.network import Layer
from plastic_env.learner.probing import Probe
from plastic_env.learner.selection import LayerView, Rule, find_rule, score
from plastic_env.learner.state import State
from plastic_env.learner.transaction import Worths


def score_units(
    state: State,
    edits: Mapping[int, Edit],
    probe: Probe | None,
    rngs: Sequence[np.random.Generator],
    function: Activation,
) -> tuple[Worths, dict[int, int]]:
    """Score every unit that an edit may choose among; members that ask alike are scored at once.

    Returns:
        Worths, as `apply_edits` takes them, and by member the multiply-accumulates that they cost.

    Raises:
        InvalidEdit: there is no probe, or a rule returned something that can't be compared.
    """
    # kind by kind and layer by layer: the order of a learner's random draws must not depend on its neighbours
    asked: dict[tuple[str, int, str | Rule], list[int]] = {}
    for kind in KINDS:
        for layer in range(len(state.capacity)):
            for member, edit in edits.items():
                if edit.counts(kind, len(state.capacity))[layer]:
                    asked.setdefault((kind, layer, getattr(edit, f"{kind}_rule")), []).append(member)
    worths: dict[tuple[int, int, str], np.ndarray] = {}
    macs = dict.fromkeys(edits, 0)
    for (kind, layer, rule), members in asked.items():
        if probe is None:
            raise InvalidEdit("This edit selects units; give a probe of the learners as they are now.")
        rows = [probe.members.index(member) for member in members]
        into, outgoing, ids = (_slots_view if kind == "grow" else _live_view)(state, layer, members)
        view = LayerView(
            below=probe.activations[layer][rows],
            above=probe.deltas[layer + 1][rows],
            incoming=into.weight,
            bias=into.bias,
            outgoing=outgoing,
            exists=torch.ones_like(ids, dtype=torch.bool) if kind == "grow" else ids >= 0,
            ids=ids,
            rngs=[rngs[member] for member in members],
            capacity=state.capacity[layer],
            function=function,
        )
        table = score(find_rule(kind, rule), view)
        for member, worth in zip(members, table, strict=True):
            worths[member, layer, kind] = worth if kind == "grow" else worth[: state.live(member)[layer]]
            if kind == "grow":  # of live units, the probe has measured all of it before
                widths, samples = state.widths(member), probe.activations[0].shape[1]
                dormant = state.capacity[layer] - widths[layer + 1]
                macs[member] += samples * dormant * view.macs(widths[layer], widths[layer + 2])
    return worths, macs


def _live_view(state: State, layer: int, members: list[int]) -> tuple[Layer, Tensor, Tensor]:
    """The live units' incoming weights, outgoing weights and ids."""
    layers = state.layout.views(state.weights)
    into, out = (layers[at].of(members) for at in (layer, layer + 1))
    ids = torch.from_numpy(state.padded(layer, "id", -1, members)).to(into.weight.device)
    return into, out.weight, ids


def _slots_view(state: State, layer: int, members: list[int]) -> tuple[Layer, Tensor, Tensor]:
    """All slots' initial weights from and to live units, and -1 for ids."""
    below, above = (state.initial[at].of(members) for at in (layer, layer + 1))
    incoming, outgoing = below.weight, above.weight  # [m, slots, slots below], [m, slots above, slots]
    if layer > 0:
        incoming = _live_columns(state, incoming, layer - 1, members)
    if layer + 1 < len(state.capacity):
        outgoing = _live_columns(state, outgoing.mT, layer + 1, members).mT
    ids = torch.full(incoming.shape[:2], -1, device=incoming.device)
    return Layer(incoming, below.bias), outgoing, ids


def _live_columns(state: State, weight: Tensor, layer: int, members: list[int]) -> Tensor:
    """The columns [m, rows, slots] of live units only, in stored order, padded with zeros."""
    slot = torch.from_numpy(state.padded(layer, "slot", -1, members)).to(weight.device)[:, None, :]
    index = slot.clamp_min(0).expand(-1, weight.shape[1], -1)
    return weight.gather(2, index) * (slot >= 0)
