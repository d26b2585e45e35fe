"""Structural edits: what may be asked, and how it is carried out as one transaction.

Within one edit the order is: reset, prune, recycle, grow, rewind. All units are scored before
anything changes. A new state is returned; the given one is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plastic_env.errors import InvalidEdit, is_whole, look_up
from plastic_env.learner.insertion import INSERTIONS, Birth
from plastic_env.learner.network import INITS, Layer, draw
from plastic_env.learner.selection import GROW_RULES, PRUNE_RULES, RECYCLE_RULES, Rule
from plastic_env.learner.state import Sources, State, Units, repack

KINDS = ("grow", "prune", "recycle")
RULES: dict[str, dict[str, Rule]] = {"grow": GROW_RULES, "prune": PRUNE_RULES, "recycle": RECYCLE_RULES}


@dataclass(frozen=True)
class Edit:
    """A structural edit of one learner.

    grow, prune, recycle: units per hidden layer; () asks for none in any.
    grow_rule, prune_rule, recycle_rule: how the units are selected (`selection.py`).
    insertion: the weights with which grown and recycled units enter (`insertion.py`).
    rewind: return all live units and the head to their initial weights, with empty optimizer state.
    reset: draw everything anew: all initial weights, all live weights, the optimizer state.
    """

    grow: tuple[int, ...] = ()
    prune: tuple[int, ...] = ()
    recycle: tuple[int, ...] = ()
    grow_rule: str = "activation"
    prune_rule: str = "magnitude"
    recycle_rule: str = "utility"
    insertion: str = "dormant"
    rewind: bool = False
    reset: bool = False

    def counts(self, kind: str, layers: int) -> tuple[int, ...]:
        """Units per layer of one kind of edit, with () written out as zeros."""
        return getattr(self, kind) or (0,) * layers

    @property
    def births(self) -> bool:
        """Whether any unit is born."""
        return any(self.grow) or any(self.recycle)

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.births or any(self.prune) or self.rewind or self.reset)


def check_edit(edit: Edit, live: Sequence[int], capacity: Sequence[int]) -> None:
    """Raise `InvalidEdit` or `UnknownName` if `edit` can't be done on layers with `live` of `capacity` units."""
    for kind in KINDS:
        look_up(RULES[kind], getattr(edit, f"{kind}_rule"), f"{kind} rule")
        _check_counts(kind, getattr(edit, kind), len(capacity))
    look_up(INSERTIONS, edit.insertion, "insertion rule")
    for name in ("rewind", "reset"):
        if not isinstance(getattr(edit, name), (bool, np.bool_)):
            raise InvalidEdit(f"{name} is {getattr(edit, name)!r}; give True or False.")
    grow, prune, recycle = (edit.counts(kind, len(capacity)) for kind in KINDS)
    for layer, (units, slots) in enumerate(zip(live, capacity, strict=True)):
        left = units - prune[layer]
        if left < 1:
            raise InvalidEdit(
                f"prune asks for {prune[layer]} of the {units} live units of hidden layer {layer}; "
                f"at least one must stay: prune at most {units - 1}."
            )
        if recycle[layer] > left:
            raise InvalidEdit(
                f"recycle asks for {recycle[layer]} units of hidden layer {layer}, which has {left} after pruning."
            )
        if grow[layer] > slots - left:
            raise InvalidEdit(
                f"grow asks for {grow[layer]} units in hidden layer {layer}, which has {slots - left} dormant slots "
                f"({left} of {slots} live): grow at most {slots - left}, or build the learner with more slots."
            )


def clip_edit(edit: Edit, live: Sequence[int], capacity: Sequence[int]) -> Edit:
    """The nearest edit that can be done: counts cut to what the layers allow, in the order prune, recycle, grow."""
    grow, prune, recycle = (edit.counts(kind, len(capacity)) for kind in KINDS)
    prune = tuple(min(asked, units - 1) for asked, units in zip(prune, live, strict=True))
    left = [units - gone for units, gone in zip(live, prune, strict=True)]
    recycle = tuple(min(asked, units) for asked, units in zip(recycle, left, strict=True))
    free = [slots - units for slots, units in zip(capacity, left, strict=True)]
    grow = tuple(min(asked, slots) for asked, slots in zip(grow, free, strict=True))
    return replace(edit, grow=grow, prune=prune, recycle=recycle)


def _check_counts(kind: str, counts: object, layers: int) -> None:
    allowed = f"give {layers} whole numbers, one per hidden layer, none negative"
    if not isinstance(counts, (tuple, list, np.ndarray)) or (len(counts) not in (0, layers)):
        raise InvalidEdit(f"{kind} is {counts!r}; {allowed}, or () for none.")
    for count in counts:
        if not is_whole(count):
            raise InvalidEdit(f"{kind} is {counts!r}; {allowed}.")


Worths = Mapping[tuple[int, int, str], np.ndarray]  # (member, layer, kind) -> worth per position or slot


def apply_edits(
    state: State, edits: Mapping[int, Edit], worths: Worths, rngs: Sequence[np.random.Generator], init: str
) -> State:
    """Carry out checked edits, by member, and return the state after them.

    worths: the score of every live unit by position (prune, recycle) or of every slot (grow), for
        each layer that an edit changes.
    """
    redrawn = any(edit.reset or (edit.births and edit.insertion != "dormant") for edit in edits.values())
    initial = [Layer(*(t.clone() for t in layer)) for layer in state.initial] if redrawn else state.initial
    units, sources = list(state.units), [Sources.unchanged(member) for member in state.units]
    restarted, ids, cohorts = state.restarted.copy(), state.ids.copy(), state.cohorts.copy()
    for member, edit in edits.items():
        if edit.reset:
            draw_initial(initial, member, rngs[member], init)
        editor = _Editor(state, member, edit, ids[member])
        changes = [editor.change(layer, worths) for layer in range(len(state.capacity))]
        for layer, change in enumerate(changes):
            if change.born.size:
                below, above = (Layer(*(t[member] for t in initial[at])) for at in (layer, layer + 1))
                INSERTIONS[edit.insertion](Birth(below, above, change.born, INITS[init], rngs[member]))
        units[member] = tuple(change.units for change in changes)
        again = edit.rewind or edit.reset
        sources[member] = Sources(tuple(change.source for change in changes), head=not again)
        restarted[member] = state.updates[member] if again else restarted[member]
        ids[member] = editor.next_id
        cohorts[member] += edit.births or edit.reset
    state = replace(state, initial=initial, restarted=restarted, ids=ids, cohorts=cohorts)
    return repack(state, units, sources)


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
    source: np.ndarray  # position before the edit of each of them, -1: none
    born: np.ndarray  # slots of the newborns


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
            again = _order(worths[self.member, layer, "recycle"][stay])[:recycle]
            source[again] = -1
            kept = self._reborn(kept, again)
        slots = kept.slot[source < 0]
        if grow:
            worth = worths[self.member, layer, "grow"]
            dormant = np.setdiff1d(np.arange(len(worth)), kept.slot)
            grown = dormant[_order(-worth[dormant])[:grow]]
            kept = kept.join(self._newborn(grown))
            source = np.append(source, np.full(grow, -1))
            slots = np.append(slots, grown)
        return self._restart(_Change(kept, source, slots))

    def _reborn(self, units: Units, positions: np.ndarray) -> Units:
        """`units` with those at `positions` replaced by newborns in the same slots."""
        born = self._newborn(units.slot[positions])
        fields = {}
        for name, values in vars(units).items():
            fields[name] = values.copy()
            fields[name][positions] = getattr(born, name)
        return Units(**fields)

    def _newborn(self, slots: np.ndarray) -> Units:
        now = np.full(len(slots), self.state.updates[self.member])
        ids = self.next_id + np.arange(len(slots))
        self.next_id += len(slots)
        return Units(slots, ids, np.full(len(slots), self.state.cohorts[self.member]), now, now)

    def _restart(self, change: _Change) -> _Change:
        """Rewinding keeps the units, but not what they have learnt; resetting keeps only their places."""
        if not (self.edit.rewind or self.edit.reset):
            return change
        source = np.full_like(change.source, -1)
        if self.edit.reset:
            return replace(change, units=self._newborn(change.units.slot), source=source)
        clock = np.full(len(change.units), self.state.updates[self.member])
        return replace(change, units=replace(change.units, clock=clock), source=source)


def _order(worth: np.ndarray) -> np.ndarray:
    """Positions from the least to the greatest worth; ties in stored order."""
    return np.argsort(worth, kind="stable")
