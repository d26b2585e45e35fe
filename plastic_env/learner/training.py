"""The training loop: score each batch, then make one update, for learners stacked in rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from plastic_env.learner.activations import Activation
from plastic_env.learner.network import backward, descend, forward
from plastic_env.learner.optimizers import Optimizer
from plastic_env.learner.passes import stage_modes, timing, unknown_classes
from plastic_env.learner.probing import mean_size
from plastic_env.learner.state import State

CACHE_BYTES = 6 * 2**20  # of what one thread works on; more and less were slower (docs/speed.md)


class TrainingRows(NamedTuple):
    """Learners to train: their numbers, and what training changes, in place."""

    members: list[int]
    weights: Tensor  # [m, P]
    moments: list[Tensor]  # likewise
    noise: list[torch.Generator]

    def part(self, start: int, stop: int) -> TrainingRows:
        """Some of them; the same memory."""
        moments = [flat[start:stop] for flat in self.moments]
        return TrainingRows(self.members[start:stop], self.weights[start:stop], moments, self.noise[start:stop])


class Trained(NamedTuple):
    """What came of k updates."""

    losses: Tensor  # [k, m, batch] of each sample, before the update
    hits: Tensor  # [k, m, batch] bool: answered well, before the update
    update_norms: Tensor  # [m, layers] mean |change| of the weights in the last update


def train_rows(
    rows: TrainingRows,
    x: Tensor,
    y: Tensor,
    *,
    state: State,
    optimizer: Optimizer,
    function: Activation,
    threads: int = 1,
) -> Trained:
    """Make k updates of all learners in `rows`, group by group: a group's weights stay in the cache all along.

    x: [k, m, batch, ...] as `Network.accept` gives it. y: [k, m, batch] labels, or values [k, m, batch, outputs].
    threads: that share the learners. What one learner computes doesn't depend on who computes the others.
    """
    m = len(rows.members)
    groups = max(threads, -(-m // _group(state, rows, y.shape[2]))) if m > 1 else 1
    ends = [m * at // groups for at in range(1, groups + 1)]
    parts = [(start, stop) for start, stop in zip([0, *ends], ends, strict=False) if stop > start]

    def work(part: tuple[int, int]) -> Trained:
        here = slice(*part)
        return _train_rows(rows.part(*part), x[:, here], y[:, here], state, optimizer, function)

    if len(parts) == 1:
        return work(parts[0])
    if threads == 1:
        found = [work(part) for part in parts]
    else:
        with ThreadPoolExecutor(threads) as pool:  # torch lets other threads run while it computes
            found = list(pool.map(work, parts))
    losses, hits, norms = zip(*found, strict=True)
    return Trained(torch.cat(losses, 1), torch.cat(hits, 1), torch.cat(norms))


def _group(state: State, rows: TrainingRows, batch: int) -> int:
    """Learners whose weights, gradients, moments and activations fill the cache."""
    widths = state.layout.widths[1:]
    activations = sum(width * stage.positions for width, stage in zip(widths, state.network.stages, strict=True))
    numbers = state.layout.size * (2 + len(rows.moments)) + 3 * batch * activations
    return max(1, round(CACHE_BYTES / (numbers * rows.weights.element_size())))


def _train_rows(
    rows: TrainingRows, x: Tensor, y: Tensor, state: State, optimizer: Optimizer, function: Activation
) -> Trained:
    members, weights, moments, noise = rows
    k, network, objective = len(y), state.network, state.network.objective
    layers = state.layout.views(weights)
    schedule = optimizer.schedule(state.layout, timing(state, members, k), k, weights)
    modes, ban = stage_modes(state, members, function, noise), unknown_classes(state, members)
    logits = weights.new_empty(*y.shape[:3], state.layout.widths[-1])  # [k, m, batch, outputs]
    scratch = torch.empty_like(weights)
    gradients, change, factor = state.layout.views(scratch), scratch, 1.0
    for step in range(k):
        trace = forward(network, layers, x[step], modes, out=logits[step])
        if ban is not None:
            logits[step].add_(ban)
        delta = objective.delta(logits[step], y[step])
        if schedule.descent is not None:
            if step == k - 1:
                change = weights.clone()
            descend(network, layers, gradients, trace, delta, modes, schedule.descent)
        else:
            backward(network, layers, gradients, trace, delta, modes)
            change, factor = schedule.update(step, weights, scratch, moments)
    if schedule.descent is not None:
        change.sub_(weights)
    changes = state.layout.views(change)
    norms = torch.stack([mean_size(state, changes, members, layer) for layer in range(len(layers))], 1)
    return Trained(objective.losses(logits, y), objective.hits(logits, y), norms.mul_(factor))
