"""Carrying out edits: one new state from the old one, which is left alone, with all bookkeeping done in one place.

Bookkeeping is done for all learners at once; only what differs from learner to learner (draws, inherited
weights) is done one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from torch import Tensor

from plastic_env.learner.edits import KINDS, Edit, find_insertion, find_trainability, requests
from plastic_env.learner.insertion import Births, Settling
from plastic_env.learner.parameters import Draw, Layer, draw_all
from plastic_env.learner.probing import Sight
from plastic_env.learner.repacking import Source, repack, unchanged
from plastic_env.learner.state import State, Units, resized, stored_width
from plastic_env.learner.trainability import Phase
from plastic_env.learner.transfer import named_donors, nearest_donors, transfer_biases, transplant

Worths = Mapping[tuple[int, str], np.ndarray]  # (layer, kind) -> worth [n, positions or slots] of those who ask


def apply_edits(
    state: State,
    edits: Mapping[int, Edit],
    worths: Worths,
    sights: Mapping[int, Sight],
    rngs: Sequence[np.random.Generator],
    init: str,
) -> State:
    """Carry out checked edits, by member, and return the state after them.

    worths: the score of every live unit by position (prune, recycle) or of every slot (grow), for
        each layer and kind of edit that anybody asks for.
    sights: of the members whose edits select units and let some inherit.

    Raises:
        InvalidEdit: what shows only when it is done, such as donors that aren't there.
    """
    changes, ids = _rearrange(state, edits, worths)
    units, sources = [change.units for change in changes], [change.source for change in changes]
    restarted, stored, cohorts = (getattr(state, name).copy() for name in ("restarted", "stored", "cohorts"))
    members = list(edits)
    emptied = [member for member, edit in edits.items() if edit.restarts or edit.optimizer_state == "reset"]
    restarted[emptied] = state.updates[emptied]
    stored[members] |= [edit.store for edit in edits.values()]
    cohorts[members] += [edit.births for edit in edits.values()]
    redrawn = replace(
        state,
        initial=_prepare(state, edits, changes, rngs, init),
        checkpoint=_store(state, [member for member, edit in edits.items() if edit.store]),
        phases=_phases(state, edits),
        restarted=restarted,
        stored=stored,
        cohorts=cohorts,
        ids=ids,
    )
    following = repack(redrawn, units, sources, _origin(redrawn, edits))
    for member, edit in edits.items():
        if edit.optimizer_state == "reset":
            for flat in following.moments:
                flat[member] = 0
        if edit.selects and not edit.restarts and inherits(edit):
            mine = [change.of(member) for change in changes]
            _settle(state, following, member, edit, mine, sights[member], rngs[member], init)
    return following


@dataclass(frozen=True)
class _Change:
    """What becomes of one layer, of all learners [n, width] or of one [live]."""

    units: Units
    source: Source
    newborn: np.ndarray  # bool

    def of(self, member: int) -> _Change:
        live = self.units.live[member]
        return _Change(self.units.of(member), self.source[member, :live], self.newborn[member, :live])

    @property
    def newborns(self) -> np.ndarray:
        """Positions of one learner's newborns."""
        return np.flatnonzero(self.newborn)

    @property
    def incumbents(self) -> np.ndarray:
        """Positions of those that go on with what they have."""
        return np.flatnonzero(self.source >= 0)


def _rearrange(state: State, edits: Mapping[int, Edit], worths: Worths) -> tuple[list[_Change], np.ndarray]:
    """Who stays, who goes and who comes, layer by layer, the head last; and the next ids [n]."""
    n, wanted, ids = len(state.updates), requests(edits, state), state.ids.copy()
    flags = {
        "restarts": [edit.restarts for edit in edits.values()],
        "reset": [edit.reset for edit in edits.values()],
        "padded": [edit.optimizer_state == "padded" for edit in edits.values()],
        "emptied": [edit.restarts or edit.optimizer_state == "reset" for edit in edits.values()],
        "heads": [edit.rewind == "head" for edit in edits.values()],
    }
    on = {name: np.zeros(n, dtype=bool) for name in flags}
    for name, values in flags.items():
        on[name][list(edits)] = values
    clock = np.where(on["padded"], state.restarted, state.updates)
    changes = []
    for layer, stage in enumerate(state.network.hidden):
        counts = {kind: wanted[kind][:, layer] for kind in KINDS}
        scores = {kind: worths.get((layer, kind)) for kind in KINDS}
        change = _select(state.units[layer], counts, scores, stage.slots)
        born = change.newborn | (on["reset"][:, None] & change.units.exists)
        cohort = np.where(on["reset"], 0, state.cohorts)  # after a reset nobody is older than anybody
        made = {"id": ids[:, None] + born.cumsum(1) - 1, "cohort": cohort[:, None]}
        made |= {"born": state.updates[:, None], "clock": clock[:, None]}
        ids = ids + born.sum(1)
        fields = {name: np.where(born, value, getattr(change.units, name)) for name, value in made.items()}
        changes.append(replace(change, units=replace(change.units, **fields)))
    head = state.units[-1]
    changes.append(_Change(head, unchanged(head), np.zeros(head.slot.shape, dtype=bool)))
    changes = [_restart(change, state.updates, on["emptied"], on["restarts"]) for change in changes]
    changes[-1] = _restart(changes[-1], state.updates, on["heads"], on["heads"])
    return changes, ids


def _select(
    units: Units, counts: Mapping[str, np.ndarray], worths: Mapping[str, np.ndarray | None], slots: int
) -> _Change:
    """Prune, recycle and grow one layer; newborns have their slots, and whatever else is stored there."""
    (n, width), stay = units.slot.shape, units.exists
    again = np.zeros_like(stay)
    if worths["prune"] is not None:
        stay = stay & ~_least(worths["prune"], stay, counts["prune"])
    if worths["recycle"] is not None:
        again = _least(worths["recycle"], stay, counts["recycle"])
    kept, grow = stay.sum(1), counts["grow"]
    after = stored_width(int((kept + grow).max()), slots)
    # the last ones move into the gaps of those who go: little is to be moved
    columns = np.arange(width)
    first = columns < kept[:, None]
    gaps, movers = np.nonzero(first & ~stay), np.nonzero(~first & stay)
    origin = np.where(first & stay, columns, -1)
    origin[gaps] = movers[1]
    origin = resized(origin, after, -1)
    past, made = origin >= 0, units.at(origin)
    newborn = again[np.arange(n)[:, None], origin] & past
    source = np.where(newborn, -1, origin)
    if worths["grow"] is not None:
        dormant = np.ones((n, slots), dtype=bool)
        dormant[np.nonzero(past)[0], made.slot[past]] = False
        chosen = _ranking(-worths["grow"], dormant)[:, : int(grow.max())]
        rows, picks = np.nonzero(np.arange(chosen.shape[1]) < grow[:, None])
        made.slot[rows, kept[rows] + picks] = chosen[rows, picks]
        newborn[rows, kept[rows] + picks] = True
    return _Change(made, source, newborn)


def _ranking(worth: np.ndarray, among: np.ndarray) -> np.ndarray:
    """[n, units] positions from the least to the greatest worth, ties in stored order; those not `among` come last."""
    return np.lexsort((worth, ~among), axis=1)


def _least(worth: np.ndarray, among: np.ndarray, count: np.ndarray) -> np.ndarray:
    """[n, units] bool: the `count` [n] units of least worth among those."""
    found = np.zeros(among.shape, dtype=bool)
    np.put_along_axis(found, _ranking(worth, among), np.arange(among.shape[1]) < count[:, None], 1)
    return found


def _restart(change: _Change, updates: np.ndarray, emptied: np.ndarray, restarts: np.ndarray) -> _Change:
    """Rewinding and resetting keep the units, but not what they have learnt."""
    if not emptied.any():
        return change
    clock = np.where(emptied[:, None] & change.units.exists, updates[:, None], change.units.clock)
    source = np.where(restarts[:, None], -1, change.source)
    return replace(change, units=replace(change.units, clock=clock), source=source)


def _prepare(
    state: State,
    edits: Mapping[int, Edit],
    changes: Sequence[_Change],
    rngs: Sequence[np.random.Generator],
    init: str,
) -> list[Layer]:
    """The initial weights after resets and after what newborns' insertion rules draw."""
    rules = {m: find_insertion(edit) for m, edit in edits.items() if edit.births}
    preparing = {id(rule): rule for rule in rules.values() if rule.prepares}
    resetting = [m for m, edit in edits.items() if edit.reset]
    heads = [m for m, edit in edits.items() if edit.rewind == "head"]
    if not preparing and not resetting and not heads:
        return state.initial
    initial = [layer.clone() for layer in state.initial]
    for member in resetting:
        draw_all(initial, member, state.classes(member), rngs[member], init)
    for member in heads:
        draw_all(initial[-1:], member, state.classes(member), rngs[member], init)
    for rule in preparing.values():
        members = [m for m, its in rules.items() if its is rule]
        for layer, (change, upper) in enumerate(pairwise(changes)):
            born = [m for m in members if change.newborn[m].any()]
            if born:
                draws = [Draw(m, change.units.slot[m, change.newborn[m]], rngs[m]) for m in born]
                above = initial[layer + 1].blocks(state.network.blocks[layer + 1])
                live_above = [upper.units.slot[m, upper.units.exists[m]] for m in born]
                rule.prepare(Births(initial[layer], above, draws, live_above, init))
    return initial


def inherits(edit: Edit) -> bool:
    """Whether anything is to be done to live weights or optimizer state after the change."""
    insertion = edit.births and (find_insertion(edit).settles or edit.optimizer_state == "transplant")
    return bool(insertion or edit.transfer_bias)


def _settle(
    before: State,
    after: State,
    member: int,
    edit: Edit,
    changes: Sequence[_Change],
    sight: Sight,
    rng: np.random.Generator,
    init: str,
) -> None:
    """Let survivors and newborns inherit what the edit says; writes into the new state `after` only."""
    rule, blocks = find_insertion(edit), after.network.blocks
    for layer, change in enumerate(changes[:-1]):
        upper = changes[layer + 1]
        below, above = (after.layer(after.weights, member, at) for at in (layer, layer + 1))
        units_before = int(before.units[layer].live[member])
        gone = np.setdiff1d(np.arange(units_before), change.source)
        if edit.transfer_bias and gone.size:
            weight = before.layer(before.weights, member, layer + 1).weight
            means = sight.column_means(layer + 1).unflatten(0, (-1, blocks[layer + 1]))
            transfer_biases(above.bias[0], upper.source, weight, means, gone)
        if change.newborn.any() and rule.settles:
            past = np.arange(before.network.input_units) if layer == 0 else changes[layer - 1].source
            rule.settle(
                Settling(
                    below,
                    above.weight,
                    inputs=partial(_aligned, sight.inputs, layer, past, blocks[layer]),
                    deltas=partial(_aligned, sight.deltas, layer + 1, upper.source, 1),
                    newborn=change.newborns,
                    incumbent=change.incumbents,
                    before=units_before,
                    init=init,
                    rng=rng,
                )
            )
        if change.newborn.any() and edit.optimizer_state == "transplant":
            _transplant(after, member, layer, edit, change, below.weight.flatten(1))


def _transplant(after: State, member: int, layer: int, edit: Edit, change: _Change, incoming: Tensor) -> None:
    newborn, incumbent = change.newborns, change.incumbents
    wanted = edit.donors[after.network.editable.index(layer)] if edit.donors else ()
    if wanted:
        donors = named_donors(change.units.id, wanted, newborn, incumbent)
    else:
        donors = nearest_donors(incoming, newborn, incumbent)
    for flat in after.moments:
        transplant(after.layer(flat, member, layer), after.layer(flat, member, layer + 1), newborn, donors)
    change.units.clock[newborn] = change.units.clock[donors]  # a view of the new state's own array


def _aligned(look: Callable[[int], Tensor], layer: int, source: np.ndarray, block: int) -> Tensor:
    """Columns [samples, units * block] that a look at `layer` shows from before the edit, in the order after it; zeros
    where there is no past."""
    aligned = look(layer).unflatten(1, (-1, block))[:, source.clip(0)]
    aligned[:, source < 0] = 0
    return aligned.flatten(1)


def _phases(state: State, edits: Mapping[int, Edit]) -> tuple[tuple[Phase, ...], ...]:
    phases = list(state.phases)
    for member, edit in edits.items():
        now = int(state.updates[member])
        rule = find_trainability(edit) if edit.births and not edit.reset else None
        kept = () if edit.reset else tuple(phase for phase in phases[member] if not phase.over(now))
        phases[member] = kept if rule is None else (*kept, Phase(rule, int(state.cohorts[member]), now))
    return tuple(phases)


def _store(state: State, members: Sequence[int]) -> list[Layer] | None:
    """The checkpoint after `members` have stored their live weights; dormant slots store their initial ones."""
    if not members:
        return state.checkpoint
    checkpoint = [layer.clone() for layer in state.checkpoint or state.initial]
    for member in members:
        axes = [np.arange(state.network.input_units), *(units.slot for units in state.units_of(member))]
        for at, layer in enumerate(checkpoint):
            weight, vectors = state.layer(state.weights, member, at)
            for mine, initial in zip(layer, state.initial[at], strict=True):
                mine[member] = initial[member]
            layer.blocks(state.network.blocks[at])[member][np.ix_(axes[at + 1], axes[at])] = weight
            layer.vectors[member][:, axes[at + 1]] = vectors
    return checkpoint


def _origin(state: State, edits: Mapping[int, Edit]) -> list[Layer]:
    """Where weights that start anew come from: the initial ones, or the checkpoint for those who rewind to it."""
    members = [member for member, edit in edits.items() if edit.rewind == "checkpoint"]
    if not members or state.checkpoint is None:
        return state.initial
    origin = [layer.clone() for layer in state.initial]
    for layer, stored in zip(origin, state.checkpoint, strict=True):
        for mine, theirs in zip(layer, stored, strict=True):
            mine[members] = theirs[members]
    return origin
