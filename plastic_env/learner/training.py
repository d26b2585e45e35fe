"""The training loop: score each batch, then make one update, for learners stacked in rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plastic_env.learner.activations import Activation
from plastic_env.learner.network import backward, cross_entropy_delta, forward
from plastic_env.learner.optimizers import Optimizer
from plastic_env.learner.passes import stage_modes, timing, unknown_classes
from plastic_env.learner.probing import mean_size
from plastic_env.learner.state import State


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
    hits: Tensor  # [k, m, batch] bool: right, before the update
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
    """Make k updates of all learners in `rows`.

    x: [k, m, batch, ...] as `Network.accept` gives it. y: [k, m, batch].
    threads: that share the learners. What one learner computes doesn't depend on who computes the others.
    """
    m = len(rows.members)
    ends = [m * at // threads for at in range(1, threads + 1)]
    parts = [(start, stop) for start, stop in zip([0, *ends], ends, strict=False) if stop > start]

    def work(part: tuple[int, int]) -> Trained:
        here = slice(*part)
        return _train_rows(rows.part(*part), x[:, here], y[:, here], state, optimizer, function)

    if len(parts) == 1:
        return work(parts[0])
    with ThreadPoolExecutor(len(parts)) as pool:  # torch lets other threads run while it computes
        found = list(pool.map(work, parts))
    losses, hits, norms = zip(*found, strict=True)
    return Trained(torch.cat(losses, 1), torch.cat(hits, 1), torch.cat(norms))


def _train_rows(
    rows: TrainingRows, x: Tensor, y: Tensor, state: State, optimizer: Optimizer, function: Activation
) -> Trained:
    members, weights, moments, noise = rows
    k, network = len(y), state.network
    layers, scratch = state.layout.views(weights), torch.empty_like(weights)
    gradients = state.layout.views(scratch)
    schedule = optimizer.schedule(state.layout, timing(state, members, k), k, weights)
    modes, ban = stage_modes(state, members, function, noise), unknown_classes(state, members)
    picked = weights.new_empty(*y.shape, 1)
    hits = torch.empty(y.shape, dtype=torch.bool, device=weights.device)
    change, factor = scratch, 0.0
    for step in range(k):
        trace = forward(network, layers, x[step], modes)
        logits = trace.logits if ban is None else trace.logits + ban
        log_p = F.log_softmax(logits, -1)  # [m, batch, classes]
        torch.gather(log_p, -1, y[step, ..., None], out=picked[step])
        torch.eq(logits.argmax(-1), y[step], out=hits[step])
        backward(network, layers, gradients, trace, cross_entropy_delta(log_p, y[step]), modes)
        change, factor = schedule.update(step, weights, scratch, moments)
    changes = state.layout.views(change)
    norms = torch.stack([mean_size(state, changes, members, layer) for layer in range(len(layers))], 1)
    return Trained(picked[..., 0].neg_(), hits, norms.mul_(factor))
