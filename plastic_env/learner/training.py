"""The training loop: score each batch, then make one update, for learners stacked in rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.activations import Activation
from plastic_env.learner.factors import Timing
from plastic_env.learner.jitter import noise_of
from plastic_env.learner.maintenance import Maintenance, Reborn, Stretch, Upkeep
from plastic_env.learner.masks import learnt_parameters
from plastic_env.learner.network import Trace, backward, descend, forward
from plastic_env.learner.optimizers import Optimizer, Schedule
from plastic_env.learner.parameters import are_all
from plastic_env.learner.passes import stage_modes, timing, unknown_classes
from plastic_env.learner.probing import mean_size
from plastic_env.learner.replacement import Replaced, replace_units
from plastic_env.learner.state import State

CACHE_BYTES = 6 * 2**20  # of what one thread works on; more and less were slower (docs/results/speed.md)


class TrainingRows(NamedTuple):
    """Learners to train: their numbers, and what training changes, in place.

    members: the numbers. noise_rngs, rngs: the learners' generators, of random activations and of everything else.
    """

    members: list[int]
    weights: Tensor  #: [m, P]
    moments: list[Tensor]  #: likewise
    unit_memory: list[Tensor]  #: per layer [m, rows, width], what maintenance keeps of each unit
    due_units: np.ndarray  #: [m, hidden layers] how many units maintenance is still to replace
    noise_rngs: list[torch.Generator]
    rngs: list[np.random.Generator]

    def part(self, start: int, stop: int) -> TrainingRows:
        """Some of them; the same memory."""
        here = slice(start, stop)
        moments, unit_memory = ([flat[here] for flat in flats] for flats in (self.moments, self.unit_memory))
        return TrainingRows(
            self.members[here],
            self.weights[here],
            moments,
            unit_memory,
            self.due_units[here],
            self.noise_rngs[here],
            self.rngs[here],
        )


def training_rows(
    state: State,
    members: list[int],
    noise_rngs: Sequence[torch.Generator],
    rngs: Sequence[np.random.Generator],
) -> tuple[TrainingRows, Callable[[], None]]:
    """What training changes of `members`, and a function that stores what became of it.

    The state's own memory if that is all of it, else copies. Frozen learners are never stored.
    noise_rngs, rngs: of all learners.
    """
    mine = [noise_rngs[member] for member in members], [rngs[member] for member in members]
    if are_all(members, len(state.updates)) and not state.frozen.any():
        rows = TrainingRows(members, state.weights, state.moments, state.unit_memory, state.due_units, *mine)
        return rows, lambda: None
    index = torch.tensor(members, device=state.weights.device)
    flats = [state.weights, *state.moments, *state.unit_memory]
    copies = [flat[index] for flat in flats]
    first = 1 + len(state.moments)
    due_units = state.due_units[members]
    kept = ~state.frozen[members]
    keep = torch.from_numpy(kept).to(index.device)

    def store() -> None:
        for flat, copy in zip(flats, copies, strict=True):
            flat[index[keep]] = copy[keep]
        state.due_units[np.array(members)[kept]] = due_units[kept]

    return TrainingRows(members, copies[0], copies[1:first], copies[first:], due_units, *mine), store


class Trained(NamedTuple):
    """What came of k updates."""

    losses: Tensor  #: [k, m, batch] of each sample, before the update
    hits: Tensor  #: [k, m, batch] bool: answered well, before the update
    update_norms: Tensor  #: [m, layers] mean |change| of the weights by the optimizer in the last update
    replaced: list[Replaced]  #: each learner's in the order of time


class Regime(NamedTuple):
    """How learners are trained.

    optimizer: its settings. function: the activation. maintenance: the rules, in their order. init: a name in `INITS`.
    """

    optimizer: Optimizer
    function: Activation
    maintenance: tuple[Maintenance, ...] = ()
    init: str = "torch"

    @property
    def alone(self) -> bool:
        """Whether only one of them can draw from the learners' generators."""
        return len(self.maintenance) + (self.optimizer.sigma is not None) == 1


def train_rows(rows: TrainingRows, x: Tensor, y: Tensor, *, state: State, regime: Regime, threads: int = 1) -> Trained:
    """Make k updates of all learners in `rows`, group by group: a group's weights stay in the cache all along.

    x: [k, m, batch, ...] as `Network.accept` gives it. y: [k, m, batch] labels, or values [k, m, batch, outputs].
    threads: that share the learners, two or more each, since a single matrix is multiplied by another kernel than a
        stack, and rounded otherwise. What one learner computes doesn't depend on who computes the others.
    """
    m = len(rows.members)
    groups = max(1, min(threads, m // 2), -(-m // _group(state, rows, y.shape[2])))
    ends = [m * at // groups for at in range(1, groups + 1)]
    parts = [(start, stop) for start, stop in zip([0, *ends], ends, strict=False) if stop > start]

    def work(part: tuple[int, int]) -> Trained:
        here = slice(*part)
        return _train_rows(rows.part(*part), x[:, here], y[:, here], state, regime)

    if len(parts) == 1:
        return work(parts[0])
    if threads == 1:
        found = [work(part) for part in parts]
    else:
        with ThreadPoolExecutor(threads) as pool:  # torch lets other threads run while it computes
            found = list(pool.map(work, parts))
    losses, hits, norms, replaced = zip(*found, strict=True)
    return Trained(torch.cat(losses, 1), torch.cat(hits, 1), torch.cat(norms), list(chain(*replaced)))


def _group(state: State, rows: TrainingRows, batch: int) -> int:
    """Learners whose weights, gradients, moments and activations fill the cache."""
    widths = state.layout.widths[1:]
    activations = sum(width * stage.positions for width, stage in zip(widths, state.network.stages, strict=True))
    numbers = state.layout.size * (2 + len(rows.moments)) + 3 * batch * activations
    return max(1, round(CACHE_BYTES / (numbers * rows.weights.element_size())))


def _train_rows(rows: TrainingRows, x: Tensor, y: Tensor, state: State, regime: Regime) -> Trained:
    members, weights, moments = rows.members, rows.weights, rows.moments
    k, network, objective = len(y), state.network, state.network.objective
    layers = state.layout.views(weights)
    schedule = regime.optimizer.schedule(state.layout, _timing(rows, k, state, regime), k, weights)
    upkeep = _Maintaining(rows, k, state, regime, schedule)
    descent = None if any(rule.needs_gradients for rule in regime.maintenance) else schedule.descent
    modes = stage_modes(state, members, regime.function, rows.noise_rngs)
    ban = unknown_classes(state, members)
    logits = weights.new_empty(*y.shape[:3], state.layout.widths[-1])  # [k, m, batch, outputs]
    scratch = torch.empty_like(weights)
    gradients, change, factor = state.layout.views(scratch), scratch, 1.0
    for step in range(k):
        trace = forward(network, layers, x[step], modes, out=logits[step])
        if ban is not None:
            logits[step].add_(ban)
        delta = objective.delta(logits[step], y[step])
        last = step == k - 1
        if descent is not None:
            if last:
                change = weights.clone()
            descend(network, layers, gradients, trace, delta, modes, descent)
            if last:
                change.sub_(weights)
        else:
            backward(network, layers, gradients, trace, delta, modes)
            upkeep.gradients(scratch)
            change, factor = schedule.update(step, weights, scratch, moments)
        if last:
            changes = state.layout.views(change)
            norms = torch.stack([mean_size(state, changes, members, layer) for layer in range(len(layers))], 1)
        upkeep.weights(step, trace)
    upkeep.finish(k)
    return Trained(objective.losses(logits, y), objective.hits(logits, y), norms.mul_(factor), upkeep.replaced)


def _timing(rows: TrainingRows, updates: int, state: State, regime: Regime) -> Timing:
    """Ages, speeds and, for those optimizers that want it, noise."""
    found = timing(state, rows.members, updates)
    sigma = regime.optimizer.sigma
    if sigma is None:
        return found
    noise = noise_of(state, rows.members, rows.rngs, sigma, updates * regime.alone).add_to
    return replace(found, live=learnt_parameters(state, rows.members), noise=noise)


class _Maintaining:
    """The rules at work on some learners."""

    def __init__(self, rows: TrainingRows, updates: int, state: State, regime: Regime, schedule: Schedule) -> None:
        self.rows, self.schedule, self.replaced = rows, schedule, list[Replaced]()
        self.upkeeps: list[Upkeep] = []
        first = 0
        for rule in regime.maintenance:
            unit_memory = [layer[:, first : first + rule.memory_rows] for layer in rows.unit_memory]
            first += rule.memory_rows
            self.stretch = Stretch(
                state,
                rows.members,
                rows.weights,
                unit_memory,
                rows.due_units,
                rows.rngs,
                regime.init,
                updates * regime.alone,
            )
            self.upkeeps.append(rule.prepare(self.stretch))

    def gradients(self, gradients: Tensor) -> None:
        """Before the optimizer."""
        for upkeep in self.upkeeps:
            upkeep.gradients(gradients)

    def weights(self, step: int, trace: Trace) -> None:
        """After the optimizer."""
        for upkeep in self.upkeeps:
            for reborn in upkeep.weights(step, trace):
                self._replace(step, reborn)

    def finish(self, updates: int) -> None:
        """After so many updates."""
        for upkeep in self.upkeeps:
            upkeep.finish(updates)

    def _replace(self, step: int, reborn: Reborn) -> None:
        layer, row, position, incoming = reborn
        replace_units(self.stretch, reborn, self.rows.moments)
        self.rows.unit_memory[layer].mT[row, position] = 0
        self.schedule.restart(step, layer, row, position)
        for upkeep in self.upkeeps:
            upkeep.reborn(reborn)
        self.replaced.append(Replaced(step, layer, np.array(self.rows.members)[row], position, incoming))
