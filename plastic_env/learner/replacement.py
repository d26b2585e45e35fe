"""Maintenance that replaces units a few at a time, wholly or in part, while learners train. See `maintenance.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidSetting, is_whole
from plastic_env.learner.maintenance import (
    Births,
    Jitter,
    Rule,
    Stretch,
    Upkeep,
    check_number,
    init_half_widths,
    live_parameters,
)
from plastic_env.learner.parameters import BIAS, INITS, draw
from plastic_env.learner.penalties import live_columns
from plastic_env.learner.repacking import unchanged

if TYPE_CHECKING:
    from plastic_env.learner.network import Trace
    from plastic_env.learner.state import State

UTILITY, AGE = range(2)  # rows of continual backprop's traces


@dataclass(frozen=True)
class ContinualBackprop(Rule):
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
    """

    rho: float = 1e-4
    eta: float = 0.99
    maturity: int = 100

    traces = 2

    def __post_init__(self) -> None:
        check_number(self, "rho", 0, 1)
        check_number(self, "eta", 0, 1, closed=False)
        if not is_whole(self.maturity):
            raise InvalidSetting(f"ContinualBackprop has maturity={self.maturity!r}; give a whole number of updates.")

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Get ages and utilities ready."""
        return _Replacing(stretch, self)


class _Replacing(Upkeep):
    """Ages are kept on the host: how many units are due is known without waiting for the device."""

    def __init__(self, stretch: Stretch, rule: ContinualBackprop) -> None:
        self.stretch, self.rule, self.editable = stretch, rule, stretch.state.network.editable
        self.utility, self.age = ({at: stretch.traces[at][:, row] for at in self.editable} for row in (UTILITY, AGE))
        self.sizes = {at: torch.empty_like(stretch.layers[at + 1].weight) for at in self.editable}
        self.exists = {at: stretch.state.units[at].exists[stretch.members] for at in self.editable}
        self.whole = {at: bool(exists.all()) for at, exists in self.exists.items()}
        self.live = {at: torch.from_numpy(exists).to(stretch.weights) for at, exists in self.exists.items()}
        # relative to the stretch: update number `step` makes a unit step + 1 older
        self.ages = {at: stretch.traces[at][:, AGE].cpu().numpy().astype(np.int64) for at in self.editable}

    def weights(self, step: int, trace: Trace) -> list[Births]:
        found = []
        for at in self.editable:
            self.utility[at].lerp_(self._contributions(at, trace), 1 - self.rule.eta)
            self.age[at].add_(self.live[at])
            births = self._replace(at, step)
            if births is not None:
                found.append(births)
        return found

    def reborn(self, births: Births) -> None:
        if births.layer in self.ages:
            self.ages[births.layer][births.row, births.position] = -self.step - 1

    def _contributions(self, at: int, trace: Trace) -> Tensor:
        """[m, width] mean|h| sum|w_out| of the units of a layer; of those with several outputs, summed."""
        network, size = self.stretch.state.network, torch.abs(self.stretch.layers[at + 1].weight, out=self.sizes[at])
        block = network.blocks[at + 1]
        found = network.stages[at + 1].column_means(trace.inputs[at + 1].abs()).mul_(size.sum(1))
        return found if block == 1 else found.unflatten(1, (-1, block)).sum(-1)

    def _replace(self, at: int, step: int) -> Births | None:
        """Who is to be replaced in a layer, and their fresh weights."""
        self.step, shares = step, self.stretch.shares[:, at]
        mature = self.ages[at] > self.rule.maturity - step - 1
        counts = np.count_nonzero(mature, 1) if self.whole[at] else np.count_nonzero(mature & self.exists[at], 1)
        shares += self.rule.rho * counts
        if shares.max() < 1:
            return None
        mature &= self.exists[at]
        due = np.minimum(shares.astype(np.int64), counts)
        shares -= due
        rows, positions, fresh = [], [], []
        columns = self.stretch.state.initial[at].weight.shape[2]
        for row in np.flatnonzero(due).tolist():
            utility = self.stretch.traces[at][row, UTILITY].double().cpu().numpy()
            ages = np.maximum(self.ages[at][row] + step + 1, 1)
            worth = np.where(mature[row], utility / (1 - self.rule.eta**ages), np.inf)
            chosen = np.argsort(worth, kind="stable")[: due[row]]
            rows.append(np.full(len(chosen), row))
            positions.append(chosen)
            half_width = INITS[self.stretch.init].weight(columns)
            fresh.append(draw(self.stretch.rngs[row], half_width, (len(chosen), columns)))
        if not rows:
            return None
        return Births(at, np.concatenate(rows), np.concatenate(positions), np.concatenate(fresh))


def replace_units(stretch: Stretch, births: Births, moments: list[Tensor]) -> None:
    """Write replaced units into weights and moments: fresh incoming weights, bias 0, all else as at the start; outgoing
    weights 0, moments 0."""
    at, row, position = births.layer, births.row, births.position
    layout, start = stretch.state.layout, stretch.state.initial[births.layer]
    for flat in (stretch.weights, *moments):
        layers = layout.views(flat)
        layers[at].weight[row, position] = 0
        layers[at].vectors.mT[row, position] = 0
        layers[at + 1].blocks(layout.blocks[at + 1]).transpose(1, 2)[row, position] = 0
    layer = stretch.layers[at]
    layer.weight[row, position] = live_columns(stretch, births).to(layer.weight)
    members = np.array(stretch.members)[row]
    slot = stretch.state.units[at].slot[members, position]
    layer.vectors.mT[row, position, 1:] = start.vectors.mT[members, slot, 1:]


class Replaced(NamedTuple):
    """Units of one hidden layer of one learner that have been replaced after an update of a stretch."""

    member: int
    step: int
    layer: int
    positions: np.ndarray
    incoming: np.ndarray  # [units, slots below * block]


def enter_newborns(state: State, replaced: Sequence[Replaced]) -> State:
    """The books after replacements, each learner's in the order of time, before the stretch's updates are counted:
    newborns have ids of their own, one cohort per update and learner, and initial weights with which they were drawn.
    """
    if not replaced:
        return state
    units = list(state.units)
    for layer in {birth.layer for birth in replaced}:
        units[layer] = units[layer].at(unchanged(units[layer]))  # a copy
    ids, cohorts, latest = state.ids.copy(), state.cohorts.copy(), dict[int, int]()
    initial = [layer.clone() for layer in state.initial]
    for member, step, layer, positions, incoming in replaced:
        mine, now = units[layer], state.updates[member] + step + 1
        if latest.get(member) != step:  # all of an update are one cohort
            latest[member] = step
            cohorts[member] += 1
        mine.id[member, positions] = ids[member] + np.arange(len(positions))
        ids[member] += len(positions)
        mine.cohort[member, positions] = cohorts[member] - 1
        mine.born[member, positions] = mine.clock[member, positions] = now
        slots = mine.slot[member, positions]
        weight, vectors = initial[layer]
        weight[member, slots] = torch.from_numpy(incoming).to(weight)
        vectors[member, BIAS, slots] = 0
    return replace(state, units=tuple(units), initial=initial, ids=ids, cohorts=cohorts)


@dataclass(frozen=True)
class ContinuousCBP(Rule):
    """Continuous continual backprop (McCutcheon et al., submitted to ICLR 2026), in all editable layers.

    A unit's utility follows u <- eta u + (1 - eta) s, s being its mean |dL/dw_in| over the layer's mean of that; it
    starts at 1. After every `every` updates in a learner's life q = rho min(1, exp(-kappa (u - theta))),
    W_in <- (1 - q) W_in + q (a fresh initial draw), W_out <- (1 - q) W_out, and all utilities return to 1. Biases and
    optimizer state stay.

    rho, kappa and theta are the submission's as they are known here. eta, `every` and the return to 1 are those of
    public code of its authors, whose tuned values may differ. Gradients are seen with the penalties of rules given
    before this one.
    """

    rho: float = 0.012
    kappa: float = 16.0
    theta: float = 0.95
    eta: float = 0.9
    every: int = 100

    traces = 1
    needs_gradients = True

    def __post_init__(self) -> None:
        check_number(self, "rho", 0, 1)
        check_number(self, "eta", 0, 1, closed=False)
        for name in ("kappa", "theta"):
            check_number(self, name, 0, np.inf)
        if not is_whole(self.every, 1):
            raise InvalidSetting(f"ContinuousCBP has every={self.every!r}; give a whole number of at least 1.")

    def prepare(self, stretch: Stretch) -> Upkeep:
        """Get ready to draw."""
        return _Blending(stretch, self)


class _Blending(Upkeep):
    """Traces hold utilities as distances from 1, at which newborns start."""

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
            self.stretch.traces[at][:, 0].lerp_(score, 1 - self.rule.eta)

    def weights(self, step: int, trace: Trace) -> list[Births]:
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
            trace = self.stretch.traces[at]
            distance = trace[rows, 0] + (1 - self.rule.theta)
            share = torch.exp(distance * -self.rule.kappa).clamp_max_(1).mul_(self.rule.rho)  # [due, width]
            weight = layers[at].weight
            weight[rows] = torch.lerp(weight[rows], fresh[at].weight, share[:, :, None])
            block = state.network.blocks[at + 1]
            layers[at + 1].weight[rows] *= (1 - share).repeat_interleave(block, 1)[:, None]
            trace[rows] = 0
