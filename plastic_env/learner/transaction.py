"""Carrying out edits: one new state from the old one, which is left alone, with all bookkeeping done in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from plastic_env.learner.edits import KINDS, Edit, find_insertion, find_trainability
from plastic_env.learner.insertion import Birth, Settling
from plastic_env.learner.parameters import Layer, draw_all
from plastic_env.learner.state import Sources, State, Units, repack, unchanged
from plastic_env.learner.trainability import Phase
from plastic_env.learner.transfer import named_donors, nearest_donors, transfer_biases, transplant

Worths = Mapping[tuple[int, int, str], np.ndarray]  # (member, layer, kind) -> worth per position or slot


class Signals(Protocol):
    """What a probe saw of one learner."""

    def inputs(self, layer: int) -> Tensor:
        """[samples, columns] what feeds a dense layer, the head included; padding included."""
        ...

    def errors(self, layer: int) -> Tensor:
        """[samples, units] dL/dz of a dense layer, the head included; padding included."""
        ...

    def column_means(self, layer: int) -> Tensor:
        """[columns] mean of what feeds each column of a layer's weights; padding included."""
        ...


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
        sources = [unchanged(member) for member in state.units]
        return _Draft(initial, list(state.units), sources, list(state.phases), counters)

    def change(
        self, state: State, member: int, edit: Edit, worths: Worths, rng: np.random.Generator, init: str
    ) -> list[_Change]:
        """Enter one learner's edit; returns what becomes of each layer."""
        if edit.reset:
            draw_all(self.initial, member, len(state.units[member][-1]), rng, init)
        editor = _Editor(state, member, edit, self.counters["ids"][member])
        changes = [editor.change(layer, worths) for layer in range(len(state.network.hidden))]
        changes.append(editor.head())
        blocks = state.network.blocks
        for layer, change in enumerate(changes):
            if change.newborn.size:
                below, above = (self.initial[at].of(member) for at in (layer, layer + 1))
                slots, live_above = change.units.slot[change.newborn], changes[layer + 1].units.slot
                birth = Birth(below, above.blocks(blocks[layer + 1]), slots, live_above, init, rng)
                find_insertion(edit).prepare(birth)
        self.units[member] = tuple(change.units for change in changes)
        self.sources[member] = tuple(change.source for change in changes)
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
        """What becomes of a hidden layer."""
        units = self.state.units[self.member][layer]
        stay = np.arange(len(units))
        grow, prune, recycle = (self.edit.of_layer(kind, layer, self.state.network) for kind in KINDS)
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
        newborn = np.flatnonzero(source < 0)
        if self.edit.reset:
            founders = np.zeros(len(kept), dtype=np.int64)  # nobody is older than they are
            kept = replace(self._newborn(kept.slot), cohort=founders)
        return self._restart(_Change(kept, source, newborn))

    def head(self) -> _Change:
        """What becomes of the classes: no edit changes which there are."""
        units = self.state.units[self.member][-1]
        return self._restart(_Change(units, np.arange(len(units)), np.arange(0)))

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
        units, source = change.units, change.source
        if self.edit.restarts or self.edit.optimizer_state == "reset":
            units = replace(units, clock=np.full(len(units), self.state.updates[self.member]))
        if self.edit.restarts:
            source = np.full_like(source, -1)
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
    rule, blocks = find_insertion(edit), after.network.blocks
    for layer, change in enumerate(changes[:-1]):
        upper = changes[layer + 1]
        below, above = (after.layer(after.weights, member, at) for at in (layer, layer + 1))
        gone = np.setdiff1d(np.arange(len(before.units[member][layer])), change.source)
        if edit.transfer_bias and gone.size:
            weight = before.layer(before.weights, member, layer + 1).weight
            means = signals.column_means(layer + 1).unflatten(0, (-1, blocks[layer + 1]))
            transfer_biases(above.bias[0], upper.source, weight, means, gone)
        if change.newborn.size and rule.settles:
            past = np.arange(before.network.input_units) if layer == 0 else changes[layer - 1].source
            rule.settle(
                Settling(
                    below,
                    above.weight,
                    inputs=partial(_aligned, signals.inputs, layer, past, blocks[layer]),
                    deltas=partial(_aligned, signals.errors, layer + 1, upper.source, 1),
                    newborn=change.newborn,
                    incumbent=change.incumbent,
                    before=len(before.units[member][layer]),
                    init=init,
                    rng=rng,
                )
            )
        if change.newborn.size and edit.optimizer_state == "transplant":
            _transplant(after, member, layer, edit, change, below.weight.flatten(1))


def _transplant(after: State, member: int, layer: int, edit: Edit, change: _Change, incoming: Tensor) -> None:
    newborn, incumbent = change.newborn, change.incumbent
    wanted = edit.donors[after.network.editable.index(layer)] if edit.donors else ()
    if wanted:
        donors = named_donors(change.units.id, wanted, newborn, incumbent)
    else:
        donors = nearest_donors(incoming, newborn, incumbent)
    for flat in after.moments:
        transplant(after.layer(flat, member, layer), after.layer(flat, member, layer + 1), newborn, donors)
    change.units.clock[newborn] = change.units.clock[donors]  # the new state's own arrays


def _aligned(signal: Callable[[int], Tensor], layer: int, source: np.ndarray, block: int) -> Tensor:
    """Columns [samples, units * block] of a signal of `layer` from before the edit in the order after it; zeros
    where there is no past."""
    aligned = signal(layer).unflatten(1, (-1, block))[:, source.clip(0)]
    aligned[:, source < 0] = 0
    return aligned.flatten(1)


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
        axes = [np.arange(state.network.input_units), *(units.slot for units in state.units[member])]
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


def _order(worth: np.ndarray) -> np.ndarray:
    """Positions from the least to the greatest worth; ties in stored order."""
    return np.argsort(worth, kind="stable")
