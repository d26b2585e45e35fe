"""Maintenance that replaces units a few at a time, wholly or in part, while learners train. See `maintenance.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidSetting, check_number, is_whole
from plastic_env.learner.jitter import Jitter, init_half_widths
from plastic_env.learner.maintenance import (
    MaintenanceRule,
    Reborn,
    Stretch,
    Upkeep,
    live_columns,
)
from plastic_env.learner.masks import live_parameters
from plastic_env.learner.parameters import BIAS, INITS, draw
from plastic_env.learner.repacking import unchanged

if TYPE_CHECKING:
    from plastic_env.learner.network import Trace
    from plastic_env.learner.state import State

UTILITY, AGE = range(2)  # rows of continual backprop's unit memory
NOTES = 64  # updates whose contributions may wait until they are added to the utility


@dataclass(frozen=True)
class ContinualBackprop(MaintenanceRule):
    """Continual backprop (Dohare et al. 2024, Nature 632, 768-774), in all editable layers.

    A unit's contribution utility follows u <- eta u + (1 - eta) mean|h| sum|w_out|, h being what it gave in the
    update's forward pass and w_out its outgoing weights after it, and is compared as u / (1 - eta^age). After each
    update a layer's account grows by rho times the number of its units that are older than `maturity` updates; the
    whole part of it is how many of these, those of least utility, are replaced: incoming weights drawn anew, bias 0,
    outgoing weights 0, optimizer state empty with an age of its own. They are newborns with ids and a cohort of their
    own, and the slot's initial weights are what they were drawn with, as after an edit with insertion "zero_out".

    eta and the maturity are the paper's; rho lies within its 3e-4 to 1e-6. The bias transfer of the public class is
    left out, which there does nothing: it clears a unit's mean activation before it is used. The public class also
    draws by chance whether to replace a unit unless it is told to accumulate; this one accumulates, as the paper does.

    Raises:
        InvalidSetting: rho outside of [0, 1], eta outside of [0, 1), or a maturity that is no whole number.
    """

    rho: float = 1e-4
    eta: float = 0.99
    maturity: int = 100

    memory_rows = 2

    def __post_init__(self) -> None:
        check_number(self, "rho", 0, 1)
        check_number(self, "eta", 0, 1, ends="[)")
        if not is_whole(self.maturity):
            raise InvalidSetting(f"ContinualBackprop has maturity={self.maturity!r}; give a whole number of updates.")

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Get ages and utilities ready."""
        return _Replacing(stretch, self)


class _Replacing(Upkeep):
    """Ages are kept on the host: how many units are due is known without waiting for the device.

    ages: [m, width] before the stretch: update number `step` makes a unit step + 1 older. growth: [m, hidden layers]
    what accounts grow by in an update. ripe: the update in which some unit of a layer is next to be older than the
    maturity; until then its growth stays.
    """

    def __init__(self, stretch: Stretch, rule: ContinualBackprop) -> None:
        self.stretch, self.rule, self.editable = stretch, rule, stretch.state.network.editable
        self.utility = {at: _Utility(stretch, at, 1 - rule.eta) for at in self.editable}
        self.exists = {at: stretch.state.units[at].exists[stretch.members] for at in self.editable}
        self.ages = {at: stretch.unit_memory[at][:, AGE].cpu().numpy().astype(np.int64) for at in self.editable}
        self.growth, self.step = np.zeros_like(stretch.due_units), 0
        self.ripe = dict.fromkeys(self.editable, 0.0)

    def weights(self, step: int, trace: Trace) -> list[Reborn]:
        self.step, due = step, self.stretch.due_units
        for at in self.editable:
            self.utility[at].note(trace.inputs[at + 1])
            if step >= self.ripe[at]:
                self._count(at)
        due += self.growth
        if not due.size or due.max() < 1:
            return []
        found = [self._replace(at) for at in self.editable if due[:, at].max() >= 1]
        return [reborn for reborn in found if reborn is not None]

    def reborn(self, reborn: Reborn) -> None:
        if reborn.layer in self.ages:
            self.ages[reborn.layer][reborn.row, reborn.position] = -self.step - 1
            self.ripe[reborn.layer] = self.step + 1

    def finish(self, updates: int) -> None:
        for at, ages in self.ages.items():
            self.utility[at].work_in()
            memory = self.stretch.unit_memory[at][:, AGE]
            memory.copy_(torch.from_numpy((ages + updates) * self.exists[at]))

    def _mature(self, at: int) -> np.ndarray:
        """[m, width] bool, after this update."""
        return self.exists[at] & (self.ages[at] > self.rule.maturity - self.step - 1)

    def _count(self, at: int) -> None:
        """See what the account of a layer grows by from this update on, and until when."""
        mature = self._mature(at)
        self.growth[:, at] = self.rule.rho * mature.sum(1)
        young = self.ages[at][self.exists[at] & ~mature]
        self.ripe[at] = self.rule.maturity - young.max() if young.size else np.inf

    def _replace(self, at: int) -> Reborn | None:
        """Who is to be replaced in a layer, and their fresh weights."""
        account, mature = self.stretch.due_units[:, at], self._mature(at)
        due = np.minimum(account.astype(np.int64), mature.sum(1))
        account -= due
        rows = np.flatnonzero(due)
        if not rows.size:
            return None
        self.utility[at].work_in()
        utility = self.utility[at].running.double().cpu().numpy()[rows]
        ages = np.maximum(self.ages[at][rows] + self.step + 1, 1)
        worth = np.where(mature[rows], utility / (1 - self.rule.eta**ages), np.inf)
        counts, columns = due[rows], self.stretch.state.initial[at].weight.shape[2]
        positions = np.argsort(worth, 1, kind="stable")[np.arange(worth.shape[1]) < counts[:, None]]
        half_width = INITS[self.stretch.init].weight(columns)
        fresh = [
            draw(self.stretch.rngs[row], half_width, (count, columns))
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True)
        ]
        return Reborn(at, rows.repeat(counts), positions, np.concatenate(fresh))


class _Utility:
    """The running utility [m, width] of a layer's units.

    Updates are noted one by one and worked in together, which leaves fewer operations between the passes.
    """

    def __init__(self, stretch: Stretch, layer: int, rate: float) -> None:
        self.running, self.rate = stretch.unit_memory[layer][:, UTILITY], rate
        self.stage, self.weight = stretch.state.network.stages[layer + 1], stretch.layers[layer + 1].weight
        self.room = torch.empty_like(self.weight)
        self.active: list[Tensor] = []
        self.feeding: list[Tensor] = []

    def note(self, x: Tensor) -> None:
        """The units gave x, and this is what their outgoing weights are now."""
        self.active.append(self.stage.column_means(x.abs()))
        self.feeding.append(torch.abs(self.weight, out=self.room).sum(1))
        if len(self.active) == NOTES:
            self.work_in()

    def work_in(self) -> None:
        """Bring the utility up to date: u <- eta u + (1 - eta) mean|h| sum|w_out|, several outputs of a unit summed."""
        if not self.active:
            return
        found, block = torch.stack(self.active).mul_(torch.stack(self.feeding)), self.stage.block
        for contributions in found if block == 1 else found.unflatten(2, (-1, block)).sum(-1):
            self.running.lerp_(contributions, self.rate)
        self.active.clear()
        self.feeding.clear()


def replace_units(stretch: Stretch, reborn: Reborn, moments: list[Tensor]) -> None:
    """Write replaced units into weights and moments [m, P]: fresh incoming weights, bias 0, all else as at the start;
    outgoing weights 0, moments 0."""
    state, (at, row, position, _) = stretch.state, reborn
    places = state.layout.of_units(at, position) + state.layout.size * row[:, None]  # [units, their parameters]
    index = torch.from_numpy(places).to(stretch.weights.device)
    values = stretch.weights.new_zeros(places.shape)
    fresh = live_columns(stretch, reborn)
    columns = fresh.shape[1]
    values[:, :columns] = fresh
    initial = state.initial[at].vectors
    if initial.shape[1] > 1:
        members = np.array(stretch.members)[row]
        slot = state.units[at].slot[members, position]
        values[:, columns + 1 : columns + initial.shape[1]] = initial.mT[members, slot, 1:]
    stretch.weights.put_(index, values)
    for flat in moments:
        flat.view(-1).index_fill_(0, index.flatten(), 0)


class Replaced(NamedTuple):
    """Units of one hidden layer that have been replaced after an update of a stretch, one entry each; a learner's stand
    side by side.

    step: number of the update in the stretch. layer: among the hidden ones. member: [units] the learners' numbers.
    position: [units] in the layer.
    """

    step: int
    layer: int
    member: np.ndarray
    position: np.ndarray
    incoming: np.ndarray  #: [units, slots below * block]


def enter_newborns(state: State, replaced: Sequence[Replaced]) -> State:
    """The books after replacements, each learner's in the order of time, before the stretch's updates are counted:
    newborns have ids of their own, one cohort per update and learner, and initial weights with which they were drawn.
    Nothing is entered for learners that have diverged.
    """
    if not replaced:
        return state
    units = list(state.units)
    for layer in {some.layer for some in replaced}:
        units[layer] = units[layer].at(unchanged(units[layer]))  # a copy
    ids, cohorts, latest = state.ids.copy(), state.cohorts.copy(), np.full(len(state.ids), -1)
    initial = [layer.clone() for layer in state.initial]
    for step, layer, *entries in replaced:
        kept = ~state.frozen[entries[0]]
        member, position, incoming = (entry[kept] for entry in entries)
        mine = units[layer]
        some, first, which, counts = np.unique(member, return_index=True, return_inverse=True, return_counts=True)
        cohorts[some] += latest[some] != step  # all of an update are one cohort
        latest[some] = step
        mine.id[member, position] = ids[member] + np.arange(len(member)) - first[which]
        ids[some] += counts
        mine.cohort[member, position] = cohorts[member] - 1
        mine.born[member, position] = mine.clock[member, position] = state.updates[member] + step + 1
        slot = mine.slot[member, position]
        weight, vectors = initial[layer]
        weight[member, slot] = torch.from_numpy(incoming).to(weight)
        vectors[member, BIAS, slot] = 0
    return replace(state, units=tuple(units), initial=initial, ids=ids, cohorts=cohorts)


@dataclass(frozen=True)
class ContinuousCBP(MaintenanceRule):
    """Continuous continual backprop (McCutcheon et al., submitted to ICLR 2026), in all editable layers.

    A unit's utility follows u <- eta u + (1 - eta) s, s being its mean |dL/dw_in| over the layer's mean of that; it
    starts at 1. After every `every` updates in a learner's life q = rho min(1, exp(-kappa (u - theta))),
    W_in <- (1 - q) W_in + q (a fresh initial draw), W_out <- (1 - q) W_out, and all utilities return to 1. Biases and
    optimizer state stay.

    rho, kappa and theta are the submission's as they are known here. eta, `every` and the return to 1 are those of
    public code of its authors, whose tuned values may differ. Gradients are seen with the penalties of rules given
    before this one.

    Raises:
        InvalidSetting: rho outside of [0, 1], eta outside of [0, 1), a negative kappa or theta, or `every` below 1.
    """

    rho: float = 0.012
    kappa: float = 16.0
    theta: float = 0.95
    eta: float = 0.9
    every: int = 100

    memory_rows = 1
    needs_gradients = True

    def __post_init__(self) -> None:
        check_number(self, "rho", 0, 1)
        check_number(self, "eta", 0, 1, ends="[)")
        for name in ("kappa", "theta"):
            check_number(self, name, 0)
        if not is_whole(self.every, 1):
            raise InvalidSetting(f"ContinuousCBP has every={self.every!r}; give a whole number of at least 1.")

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Get ready to draw."""
        return _Blending(stretch, self)


class _Blending(Upkeep):
    """The memory holds utilities as distances from 1, at which newborns start."""

    def __init__(self, stretch: Stretch, rule: ContinuousCBP) -> None:
        self.stretch, self.rule = stretch, rule
        state, members = stretch.state, stretch.members
        self.live = live_parameters(state, members)
        self.editable = state.network.editable
        self.exists = {
            at: torch.from_numpy(state.units[at].exists[members]).to(stretch.weights) for at in self.editable
        }
        self.jitter: Jitter | None = None

    def gradients(self, gradients: Tensor) -> None:
        views = self.stretch.state.layout.views(gradients)
        for at in self.editable:
            exists, size = self.exists[at], views[at].weight.abs().sum(-1)  # as many columns for all: no mean needed
            mean = size.sum(1, keepdim=True).div_(exists.sum(1, keepdim=True))
            score = size.div_(mean.clamp_min_(torch.finfo(size.dtype).tiny)).sub_(1).mul_(exists)
            self.stretch.unit_memory[at][:, 0].lerp_(score, 1 - self.rule.eta)

    def weights(self, step: int, trace: Trace) -> list[Reborn]:
        due = np.flatnonzero((self.stretch.updates + step + 1) % self.rule.every == 0)
        if due.size:
            self._blend(due)
        return []

    def _blend(self, due: np.ndarray) -> None:
        state, rows = self.stretch.state, torch.from_numpy(due).to(self.stretch.weights.device)
        if self.jitter is None:
            widths = init_half_widths(state, self.stretch.init, biases=False)
            self.jitter = Jitter(self.stretch.rngs, self.live, widths)
        fresh = state.layout.views(self.jitter.draw(due.tolist()))
        layers = self.stretch.layers
        for at in self.editable:
            memory = self.stretch.unit_memory[at]
            distance = memory[rows, 0] + (1 - self.rule.theta)
            share = torch.exp(distance * -self.rule.kappa).clamp_max_(1).mul_(self.rule.rho)  # [due, width]
            weight = layers[at].weight
            weight[rows] = torch.lerp(weight[rows], fresh[at].weight, share[:, :, None])
            block = state.network.blocks[at + 1]
            layers[at + 1].weight[rows] *= (1 - share).repeat_interleave(block, 1)[:, None]
            memory[rows] = 0
