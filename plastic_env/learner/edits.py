"""Structural edits: what may be asked of a learner, and when it makes sense. `transaction.py` carries them out.

Within one edit the order is: store, reset, prune, recycle, grow, rewind. All units are scored before anything changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plastic_env.errors import InvalidEdit, is_whole, look_up
from plastic_env.learner.activations import Activation
from plastic_env.learner.insertion import INSERTIONS, Insertion, Place
from plastic_env.learner.selection import SelectionRule, find_rule
from plastic_env.learner.stages import DenseStage
from plastic_env.learner.state import State
from plastic_env.learner.trainability import TRAINABILITY, Trainability
from plastic_env.learner.transfer import OPTIMIZER_STATES

KINDS = ("grow", "prune", "recycle")
REWINDS = {
    "none": "keep the weights",
    "initial": "to the initial weights",
    "checkpoint": "to those stored last",
    "head": "draw the head anew, and keep all else",
}


@dataclass(frozen=True)
class Edit:
    """A structural edit of one learner.

    grow, prune, recycle: units per editable layer; () asks for none in any.
    grow_rule, prune_rule, recycle_rule: how the units are selected: a name or a function (`selection.py`).
    insertion: the weights with which grown and recycled units enter: a name or a rule (`insertion.py`).
    optimizer_state: what newborns' optimizer state starts as: a name in `OPTIMIZER_STATES` (`transfer.py`).
    donors: per editable layer, the ids of the units whose state newborns get by "transplant", one per newborn
        (recycled ones first, in stored order); () takes the nearest by incoming cosine.
    trainability: how fast units learn afterwards: a name or a rule (`trainability.py`).
    transfer_bias: whether the mean activation of removed units goes into the biases of the units that they fed.
    rewind: a name in `REWINDS`: return all live units and the head there, with empty optimizer state. A checkpoint
        holds weights by place: newborns in a recycled place return to what was stored there. "head" draws nothing but
        the head, whose optimizer state alone is emptied.
    store: keep the weights as they are before this edit, to be rewound to later.
    reset: draw everything anew: all initial weights, all live weights, the optimizer state.
    """

    grow: tuple[int, ...] = ()
    prune: tuple[int, ...] = ()
    recycle: tuple[int, ...] = ()
    grow_rule: str | SelectionRule = "activation"
    prune_rule: str | SelectionRule = "magnitude"
    recycle_rule: str | SelectionRule = "utility"
    insertion: str | Insertion = "dormant"
    optimizer_state: str = "fresh"
    donors: tuple[tuple[int, ...], ...] = ()
    trainability: str | Trainability = "none"
    transfer_bias: bool = False
    rewind: str = "none"
    store: bool = False
    reset: bool = False

    def counts(self, kind: str, layers: int) -> tuple[int, ...]:
        """Units per layer of one kind of edit, with () written out as zeros."""
        wanted = getattr(self, kind)
        return tuple(wanted) if len(wanted) else (0,) * layers

    @property
    def births(self) -> bool:
        """Whether any unit is born."""
        return any(self.grow) or any(self.recycle)

    @property
    def selects(self) -> bool:
        """Whether units are to be chosen."""
        return self.births or any(self.prune)

    @property
    def restarts(self) -> bool:
        """Whether all weights start anew."""
        return self.reset or self.rewind in ("initial", "checkpoint")

    @property
    def discards(self) -> bool:
        """Whether any trained weights are thrown away besides those of units that go."""
        return self.restarts or self.rewind == "head"

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.selects or self.discards or self.store)


def find_insertion(edit: Edit) -> Insertion:
    """The edit's insertion rule."""
    return _find("insertion", edit.insertion, INSERTIONS, "settle", "Net2Wider()")


def find_trainability(edit: Edit) -> Trainability | None:
    """The edit's trainability rule."""
    return _find("trainability", edit.trainability, TRAINABILITY, "newborns", "TwoSpeed()")


def _find(name: str, rule: Any, table: Mapping[str, Any], method: str, example: str) -> Any:
    """The rule of that name or, if it has the method that such rules have, the rule itself."""
    if isinstance(rule, str):
        return look_up(table, rule, f"{name} rule")
    if isinstance(rule, type) or not hasattr(rule, method):
        raise InvalidEdit(f"{name} is {rule!r}; give a rule, such as {example}, or one of {', '.join(table)}.")
    return rule


def requests(edits: Mapping[int, Edit], state: State) -> dict[str, np.ndarray]:
    """By kind of edit, units asked for in each hidden layer, [n, hidden layers]; 0 for learners that aren't named."""
    layers, members = list(state.network.editable), np.array(list(edits))
    counts = np.array([[edit.counts(kind, len(layers)) for kind in KINDS] for edit in edits.values()])
    tables = np.zeros((len(KINDS), len(state.updates), len(state.network.hidden)), dtype=np.int64)
    tables[:, members[:, None], layers] = counts.swapaxes(0, 1)
    return dict(zip(KINDS, tables, strict=True))


def check_edit(edit: Edit, state: State, member: int, activation: Activation) -> None:
    """Raise `InvalidEdit` or `UnknownName` if `edit` can't be done on a learner as it is."""
    if not isinstance(edit, Edit):
        raise InvalidEdit(f"The edit is {edit!r}; give plastic_env.Edit(...).")
    live, capacity = state.live(member), state.capacity
    _check_names(edit)
    for kind in KINDS:
        _check_counts(kind, getattr(edit, kind), len(capacity))
    grow, prune, recycle = (edit.counts(kind, len(capacity)) for kind in KINDS)
    for layer, (units, slots) in enumerate(zip(live, capacity, strict=True)):
        left = units - prune[layer]
        if left < 1:
            raise InvalidEdit(
                f"prune asks for {prune[layer]} of the {units} live units of editable layer {layer}; "
                f"at least one must stay: prune at most {units - 1}."
            )
        if recycle[layer] > left:
            raise InvalidEdit(
                f"recycle asks for {recycle[layer]} units of editable layer {layer}, which has {left} after pruning."
            )
        if grow[layer] > slots - left:
            raise InvalidEdit(
                f"grow asks for {grow[layer]} units in editable layer {layer}, which has {slots - left} dormant slots "
                f"({left} of {slots} live): grow at most {slots - left}, or build the learner with more slots."
            )
    if any(not isinstance(ids, (tuple, list, np.ndarray)) for ids in edit.donors):
        raise InvalidEdit(f"donors is {edit.donors!r}; give a tuple of ids for each editable layer, or () for none.")
    if len(edit.donors) not in (0, len(capacity)):
        raise InvalidEdit(f"donors names units for {len(edit.donors)} layers; give {len(capacity)}, or () for none.")
    if any(map(len, edit.donors)) and edit.optimizer_state != "transplant":
        raise InvalidEdit(
            f"donors are for optimizer_state='transplant', not {edit.optimizer_state!r}; ask for it, or leave them out."
        )
    _check_sense(edit, state, member, activation)


def clip_edit(edit: Edit, state: State, member: int, activation: Activation) -> Edit:
    """The nearest edit that can be done: counts cut to what the layers allow, in the order prune, recycle, grow;
    no rewinding where there is nothing to return to; no bias transfer into weights that are thrown away; dormant
    newborns where the insertion rule makes no sense, and fresh optimizer state where the rule for that doesn't."""
    live, capacity = state.live(member), state.capacity
    grow, prune, recycle = (edit.counts(kind, len(capacity)) for kind in KINDS)
    prune = tuple(min(asked, units - 1) for asked, units in zip(prune, live, strict=True))
    left = [units - gone for units, gone in zip(live, prune, strict=True)]
    recycle = tuple(min(asked, units) for asked, units in zip(recycle, left, strict=True))
    free = [slots - units for slots, units in zip(capacity, left, strict=True)]
    grow = tuple(min(asked, slots) for asked, slots in zip(grow, free, strict=True))
    edit = replace(edit, grow=grow, prune=prune, recycle=recycle)
    if edit.reset or not _can_rewind(edit, state, member):
        edit = replace(edit, rewind="none")
    if edit.discards:
        edit = replace(edit, transfer_bias=False)
    if edit.optimizer_state != "transplant":
        edit = replace(edit, donors=())
    dormant, fresh = replace(edit, insertion="dormant"), replace(edit, optimizer_state="fresh", donors=())
    for nearest in (edit, dormant, fresh):
        if _makes_sense(nearest, state, member, activation):
            return nearest
    return replace(fresh, insertion="dormant")


def _check_names(edit: Edit) -> None:
    for kind in KINDS:
        find_rule(kind, getattr(edit, f"{kind}_rule"))
    find_insertion(edit)
    find_trainability(edit)
    look_up(OPTIMIZER_STATES, edit.optimizer_state, "optimizer state of newborns")
    look_up(REWINDS, edit.rewind, "rewind")
    for name in ("reset", "store", "transfer_bias"):
        if not isinstance(getattr(edit, name), (bool, np.bool_)):
            raise InvalidEdit(f"{name} is {getattr(edit, name)!r}; give True or False.")


def _check_counts(kind: str, counts: object, layers: int) -> None:
    allowed = f"give {layers} whole numbers, one per editable layer, none negative"
    if not isinstance(counts, (tuple, list, np.ndarray)) or (len(counts) not in (0, layers)):
        raise InvalidEdit(f"{kind} is {counts!r}; {allowed}, or () for none.")
    for count in counts:
        if not is_whole(count):
            raise InvalidEdit(f"{kind} is {counts!r}; {allowed}.")


def _check_sense(edit: Edit, state: State, member: int, activation: Activation) -> None:
    """Refuse rules that make no sense here, with the reason."""
    for place in _places(edit, state, member, activation):
        if place.newborns:
            find_insertion(edit).check(place)
            if edit.optimizer_state == "transplant" and place.incumbents == 0:
                raise InvalidEdit("transplant needs an incumbent in the layer to copy from; recycle fewer units.")
    if edit.births and edit.optimizer_state == "transplant" and not state.moments:
        raise InvalidEdit("There is no optimizer state to transplant under plain SGD; use momentum or Adam.")
    if edit.births and edit.discards and (find_insertion(edit).settles or edit.optimizer_state == "transplant"):
        raise InvalidEdit(
            f"insertion {edit.insertion!r} with optimizer state {edit.optimizer_state!r} builds on trained weights, "
            "which rewinding or resetting throws away; do one or the other."
        )
    if edit.transfer_bias and edit.discards:
        raise InvalidEdit("transfer_bias changes weights that rewinding or resetting throws away; do one or the other.")
    if not _can_rewind(edit, state, member):
        raise InvalidEdit("No checkpoint has been stored to rewind to; ask for store=True in an earlier edit.")
    if edit.rewind != "none" and edit.reset:
        raise InvalidEdit("reset draws new weights and rewind returns to old ones; ask for one of them.")


def _makes_sense(edit: Edit, state: State, member: int, activation: Activation) -> bool:
    try:
        _check_sense(edit, state, member, activation)
    except InvalidEdit:
        return False
    return True


def _can_rewind(edit: Edit, state: State, member: int) -> bool:
    return edit.rewind != "checkpoint" or edit.store or bool(state.stored[member])


def _places(edit: Edit, state: State, member: int, function: Activation) -> list[Place]:
    """Where newborns would enter, one place per editable layer."""
    network = state.network
    wanted = {kind: edit.counts(kind, len(network.editable)) for kind in KINDS}
    around = list(state.widths(member))
    for at, layer in enumerate(network.editable):
        around[layer + 1] -= wanted["prune"][at] + wanted["recycle"][at]
    return [
        Place(
            function=function,
            norm=network.hidden[layer].norm,
            dense=all(isinstance(stage, DenseStage) for stage in network.stages[layer : layer + 2]),
            newborns=wanted["grow"][at] + wanted["recycle"][at],
            incumbents=around[layer + 1],
            below=around[layer] * network.hidden[layer].block,
            above=around[layer + 2],
        )
        for at, layer in enumerate(network.editable)
    ]
