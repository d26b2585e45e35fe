"""Carrying out edits: one new state from the old one, which is left alone, with all bookkeeping done in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from plastic_env.learner.edits import KINDS, Edit, find_insertion, find_trainability
from plastic_env.learner.insertion import Birth, Settling
from plastic_env.learner.network import INITS, Layer, draw
from plastic_env.learner.state import Sources, State, Units, repack
from plastic_env.learner.trainability import Phase
from plastic_env.learner.transfer import named_donors, nearest_donors, transfer_biases, transplant

Worths = Mapping[tuple[int, int, str], np.ndarray]  # (member, layer, kind) -> worth per position or slot


@dataclass(frozen=True)
class Signals:
    """What a probe saw of one learner: activations from the inputs up, dL/dz from the first hidden layer up."""

    activations: list[Tensor]  # [samples, units], padding included
    deltas: list[Tensor]  # [samples, units]


def apply_edits(
    state: State,
    edits: Mapping[int, Edit],
    worths: Worths,
    signals: Mapping[int, Signals],
    rngs: Sequence[np.random.Generator],
    init: str,
) -> State:
    """Carry out checked edits, by member, and return the state after them.

    worths: the score of every live unit by position (prune, recycle) or of every slot (grow), for
        each layer that an edit changes.
    signals: of the members whose edits select units.

    Raises:
        InvalidEdit: what shows only when it is done, such as donors that aren't there.
    """
    draft = _Draft.of(state, edits)
    changes = {member: draft.change(state, member, edit, worths, rngs[member], init) for member, edit in edits.items()}
    redrawn = replace(
        state,
        initial=draft.initial,
        checkpoint=_store(state, [member for member, edit in edits.items() if edit.store]),
        phases=tuple(draft.phases),
        **draft.counters,
    )
    following = repack(redrawn, draft.units, draft.sources, _origin(redrawn, edits))
    for member, edit in edits.items():
        if edit.optimizer_state == "reset":
            for flat in following.moments:
                flat[member] = 0
        if edit.selects and not edit.restarts:
            _settle(state, following, member, edit, changes[member], signals[member], rngs[member], init)
    return following


def draw_initial(initial: list[Layer], member: int, rng: np.random.Generator, init: str) -> None:
    """Draw all initial parameters of one learner, in place."""
    rule = INITS[init]
    for weight, bias in initial:
        fan_in = weight.shape[2]
        weight[member] = draw(rng, rule.weight(fan_in), tuple(weight.shape[1:])).to(weight)
        bias[member] = draw(rng, rule.bias(fan_in), tuple(bias.shape[1:])).to(bias)


@dataclass(frozen=True)
class _Change:
    units: Units  # of one layer, after the edit
    source: np.ndarray  # position before the edit of each of them, -1: its weights start anew
    newborn: np.ndarray  # positions of those born

    @property
    def incumbent(self) -> np.ndarray:
        """Positions of those that go on with what they have."""
        return np.flatnonzero(self.source >= 0)


@dataclass
class _Draft:
    """What the next state will be made of; it starts as the present one, all of it copied that may change."""

    initial: list[Layer]
    units: list[tuple[Units, ...]]
    sources: list[Sources]
    phases: list[tuple[Phase, ...]]
    counters: dict[str, Any]  # arrays of the state, by name

    @staticmethod
    def of(state: State, edits: Mapping[int, Edit]) -> _Draft:
        redrawn = any(edit.reset or (edit.births and edit.insertion != "dormant") for edit in edits.values())
        initial = [layer.clone() for layer in state.initial] if redrawn else state.initial
        counters = {name: getattr(state, name).copy() for name in ("restarted", "ids", "cohorts", "stored")}
        sources = [Sources.unchanged(member) for member in state.units]
        return _Draft(initial, list(state.units), sources, list(state.phases), counters)

    def change(
        self, state: State, member: int, edit: Edit, worths: Worths, rng: np.random.Generator, init: str
    ) -> list[_Change]:
        """Enter one learner's edit; returns what becomes of each hidden layer."""
        if edit.reset:
            draw_initial(self.initial, member, rng, init)
        editor = _Editor(state, member, edit, self.counters["ids"][member])
        changes = [editor.change(layer, worths) for layer in range(len(state.capacity))]
        places = [*(change.units.slot for change in changes), np.arange(state.layout.widths[-1])]
        for layer, change in enumerate(changes):
            if change.newborn.size:
                below, above = (self.initial[at].of(member) for at in (layer, layer + 1))
                slots = change.units.slot[change.newborn]
                find_insertion(edit).prepare(Birth(below, above, slots, places[layer + 1], INITS[init], rng))
        self.units[member] = tuple(change.units for change in changes)
        self.sources[member] = Sources(tuple(change.source for change in changes), head=not edit.restarts)
        self.phases[member] = _phases(state, member, edit)
        if edit.restarts or edit.optimizer_state == "reset":
            self.counters["restarted"][member] = state.updates[member]
        self.counters["stored"][member] |= edit.store
        self.counters["ids"][member] = editor.next_id
        self.counters["cohorts"][member] += edit.births
        return changes


@dataclass
class _Editor:
    """Bookkeeping of one learner's edit, layer by layer."""

    state: State
    member: int
    edit: Edit
    next_id: int

    def change(self, layer: int, worths: Worths) -> _Change:
        units = self.state.units[self.member][layer]
        stay = np.arange(len(units))
        grow, prune, recycle = (self.edit.counts(kind, len(self.state.capacity))[layer] for kind in KINDS)
        if prune:
            gone = _order(worths[self.member, layer, "prune"])[:prune]
            stay = np.setdiff1d(stay, gone)
        source, kept = stay.copy(), units.take(stay)
        if recycle:
            again = np.sort(_order(worths[self.member, layer, "recycle"][stay])[:recycle])
            source[again] = -1
            kept = self._reborn(kept, again)
        if grow:
            worth = worths[self.member, layer, "grow"]
            dormant = np.setdiff1d(np.arange(len(worth)), kept.slot)
            grown = dormant[_order(-worth[dormant])[:grow]]
            kept = kept.join(self._newborn(grown))
            source = np.append(source, np.full(grow, -1))
        return self._restart(_Change(kept, source, np.flatnonzero(source < 0)))

    def _reborn(self, units: Units, positions: np.ndarray) -> Units:
        """`units` with those at `positions` replaced by newborns in the same slots."""
        return units.put(positions, self._newborn(units.slot[positions]))

    def _newborn(self, slots: np.ndarray) -> Units:
        now = np.full(len(slots), self.state.updates[self.member])
        padded = self.edit.optimizer_state == "padded"
        clock = np.full(len(slots), self.state.restarted[self.member]) if padded else now
        ids = self.next_id + np.arange(len(slots))
        self.next_id += len(slots)
        return Units(slots, ids, np.full(len(slots), self.state.cohorts[self.member]), now, clock)

    def _restart(self, change: _Change) -> _Change:
        """Rewinding keeps the units, but not what they have learnt; resetting keeps only their places."""
        units, now = change.units, np.full(len(change.units), self.state.updates[self.member])
        if self.edit.reset:
            founders = np.zeros(len(units), dtype=np.int64)  # nobody is older than they are
            units = replace(self._newborn(units.slot), cohort=founders, clock=now)
        elif self.edit.restarts or self.edit.optimizer_state == "reset":
            units = replace(units, clock=now)
        source = np.full_like(change.source, -1) if self.edit.restarts else change.source
        return replace(change, units=units, source=source)


def _settle(
    before: State,
    after: State,
    member: int,
    edit: Edit,
    changes: Sequence[_Change],
    signals: Signals,
    rng: np.random.Generator,
    init: str,
) -> None:
    """Let survivors and newborns inherit what the edit says; writes into the new state `after` only."""
    rule, head = find_insertion(edit), np.arange(after.layout.widths[-1])
    inputs = np.arange(after.layout.widths[0])
    sources = [inputs, *(change.source for change in changes), head]
    for layer, change in enumerate(changes):
        below, above = (after.layer(after.weights, member, at) for at in (layer, layer + 1))
        gone = np.setdiff1d(np.arange(before.live(member)[layer]), change.source)
        if edit.transfer_bias and gone.size:
            weight, _ = before.layer(before.weights, member, layer + 1)
            transfer_biases(above[1], sources[layer + 2], weight, signals.activations[layer + 1], gone)
        if change.newborn.size and rule.settles:
            rule.settle(
                Settling(
                    *below,
                    above[0],
                    inputs=_align(signals.activations[layer], sources[layer]),
                    deltas=_align(signals.deltas[layer + 1], sources[layer + 2]),
                    newborn=change.newborn,
                    incumbent=change.incumbent,
                    before=before.live(member)[layer],
                    init=INITS[init],
                    rng=rng,
                )
            )
        if change.newborn.size and edit.optimizer_state == "transplant":
            _transplant(after, member, layer, edit, change, below[0])


def _transplant(after: State, member: int, layer: int, edit: Edit, change: _Change, incoming: Tensor) -> None:
    newborn, incumbent = change.newborn, change.incumbent
    wanted = edit.donors[layer] if edit.donors else ()
    if wanted:
        donors = named_donors(change.units.id, wanted, newborn, incumbent)
    else:
        donors = nearest_donors(incoming, newborn, incumbent)
    for flat in after.moments:
        transplant(after.layer(flat, member, layer), after.layer(flat, member, layer + 1), newborn, donors)
    change.units.clock[newborn] = change.units.clock[donors]  # the new state's own arrays


def _align(signal: Tensor, source: np.ndarray) -> Tensor:
    """Columns [samples, units] of a signal from before the edit in the order after it; zeros where there is no past."""
    aligned = signal[:, source.clip(0)]
    aligned[:, source < 0] = 0
    return aligned


def _phases(state: State, member: int, edit: Edit) -> tuple[Phase, ...]:
    now = int(state.updates[member])
    rule = find_trainability(edit) if edit.births and not edit.reset else None
    kept = () if edit.reset else tuple(phase for phase in state.phases[member] if not phase.over(now))
    return kept if rule is None else (*kept, Phase(rule, int(state.cohorts[member]), now))


def _store(state: State, members: Sequence[int]) -> list[Layer] | None:
    """The checkpoint after `members` have stored their live weights; dormant slots store their initial ones."""
    if not members:
        return state.checkpoint
    checkpoint = [layer.clone() for layer in state.checkpoint or state.initial]
    for member in members:
        slots = [units.slot for units in state.units[member]]
        axes = [np.arange(state.layout.widths[0]), *slots, np.arange(state.layout.widths[-1])]
        for at, layer in enumerate(checkpoint):
            weight, bias = state.layer(state.weights, member, at)
            for mine, initial in zip(layer, state.initial[at], strict=True):
                mine[member] = initial[member]
            layer.weight[member][np.ix_(axes[at + 1], axes[at])] = weight
            layer.bias[member, 0][axes[at + 1]] = bias
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


def _order(worth: np.ndarray) -> np.ndarray:
    """Positions from the least to the greatest worth; ties in stored order."""
    return np.argsort(worth, kind="stable")
