"""n learners trained at once, in stacked tensors. One learner is a population of n = 1.

Learners never influence each other: each has its own weights, generator and stream, and no
operation mixes rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plastic_env.errors import InvalidEdit, InvalidSetting
from plastic_env.learner.activations import ACTIVATIONS, Uniform
from plastic_env.learner.edits import Edit, check_edit
from plastic_env.learner.network import Layer, Layout, backward, cross_entropy_delta, forward
from plastic_env.learner.optimizers import Timing
from plastic_env.learner.probing import Probe
from plastic_env.learner.scoring import score_units
from plastic_env.learner.settings import LearnerSettings
from plastic_env.learner.state import COUNTERS, Sources, State, Units, repack, stored_width
from plastic_env.learner.trainability import unit_factors
from plastic_env.learner.transaction import apply_edits, draw_initial


class Scores(NamedTuple):
    """Each batch's score before it was trained on; arrays [k, m], float64."""

    accuracy: np.ndarray
    loss: np.ndarray


class Population:
    """n learners that share settings and nothing else.

    Args:
        n: how many.
        inputs, classes: sizes of the task's inputs and outputs.
        settings: the learners' settings.
        device, dtype: where and in which precision weights live; data are moved and cast to them.

    Every member must be given life with `begin` before it is used.
    """

    def __init__(
        self,
        n: int,
        inputs: int,
        classes: int,
        settings: LearnerSettings,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if n < 1 or inputs < 1 or classes < 2:
            raise InvalidSetting(f"n={n}, inputs={inputs}, classes={classes}; they must be at least 1, 1 and 2.")
        self.settings = settings
        self.activation = ACTIVATIONS[settings.activation]
        self.rngs = [np.random.default_rng(0) for _ in range(n)]  # for initial weights and edits
        self.noise = [torch.Generator() for _ in range(n)]  # for random activations
        zeros = partial(torch.zeros, device=device, dtype=dtype)
        axes = pairwise((inputs, *settings.hidden, classes))
        slots = [Layer(zeros(n, above, below), zeros(n, 1, above)) for below, above in axes]
        widths = [stored_width(u, c) for u, c in zip(settings.live_units, settings.hidden, strict=True)]
        layout = Layout((inputs, *widths, classes))
        count = partial(np.zeros, n, dtype=np.int64)
        self.state = State(
            units=tuple(_founders(settings.live_units) for _ in range(n)),
            initial=slots,
            layout=layout,
            weights=zeros(n, layout.size),
            moments=[zeros(n, layout.size) for _ in range(settings.optimizer.moments)],
            updates=count(),
            restarted=count(),
            ids=count(),
            cohorts=count(),
            frozen=np.zeros(n, dtype=bool),
            phases=((),) * n,
            stored=np.zeros(n, dtype=bool),
        )

    def __len__(self) -> int:
        return len(self.rngs)

    @property
    def capacity(self) -> tuple[int, ...]:
        """Slots of each hidden layer."""
        return self.settings.hidden

    def live(self, member: int) -> tuple[int, ...]:
        """Live units of each hidden layer of one learner."""
        return self.state.live(member)

    def widths(self, member: int) -> tuple[int, ...]:
        """Inputs, live units of each hidden layer, classes."""
        return self.state.widths(member)

    def layers(self) -> list[Layer]:
        """The weights now, padded; views into the population's memory."""
        return self.state.layout.views(self.state.weights)

    def begin(self, rngs: Mapping[int, np.random.Generator]) -> None:
        """Replace members by new learners, drawn from the given generators."""
        state, sources = self.state, [Sources.unchanged(units) for units in self.state.units]
        units = list(state.units)
        initial = [layer.clone() for layer in state.initial]
        counters = {name: getattr(state, name).copy() for name in COUNTERS}
        phases = list(state.phases)
        for member, rng in rngs.items():
            self.rngs[member], phases[member] = rng, ()
            self.noise[member].manual_seed(int(rng.integers(2**63)))
            draw_initial(initial, member, rng, self.settings.init)
            units[member] = _founders(self.settings.live_units)
            sources[member] = Sources(tuple(np.full(u, -1) for u in self.settings.live_units), head=False)
            for name, values in counters.items():
                values[member] = {"ids": sum(self.settings.live_units), "cohorts": 1}.get(name, 0)
        self.state = repack(replace(state, initial=initial, phases=tuple(phases), **counters), units, sources)

    def train(self, x: Tensor, y: Tensor, members: Sequence[int] | None = None) -> Scores:
        """Score each batch, then train on it, k batches in order.

        Args:
            x: [k, m, batch, inputs]; y: [k, m, batch] labels; m as `members` (default: all).

        A learner whose loss or weights are no longer finite afterwards is frozen: from that batch on
        its accuracy counts 0, and it is never changed again. It goes on taking part in the arithmetic
        where `members` names it, so that the others' results don't depend on its fate: they stay the same
        bit for bit while the population's stored widths (those of its widest learner) do, else to rounding.
        """
        members = list(range(len(self))) if members is None else list(members)
        k, m, batch = y.shape
        state = self.state
        weights, moments, store = self._rows(members)
        x, y = x.to(weights), y.to(weights.device)
        layers, scratch = state.layout.views(weights), torch.empty_like(weights)
        gradients = state.layout.views(scratch)
        schedule = self.settings.optimizer.schedule(state.layout, self._timing(members, k), k, weights)
        function = self.activation.training(self._uniform(members))
        picked = weights.new_empty(k, m, batch, 1)
        hits = torch.empty(k, m, batch, dtype=torch.bool, device=weights.device)
        for step in range(k):
            trace = forward(layers, x[step], function)
            log_p = F.log_softmax(trace.logits, -1)  # [m, batch, classes]
            torch.gather(log_p, -1, y[step, ..., None], out=picked[step])
            torch.eq(trace.logits.argmax(-1), y[step], out=hits[step])
            backward(layers, gradients, trace, cross_entropy_delta(log_p, y[step]), function)
            schedule.update(step, weights, scratch, moments)
        store()
        loss = -picked[..., 0].double().mean(-1).cpu().numpy()
        accuracy = hits.double().mean(-1).cpu().numpy()
        accuracy[~np.logical_and.accumulate(np.isfinite(loss), 0)] = 0
        accuracy[:, state.frozen[members]] = 0
        trained = np.array(members)[~state.frozen[members]]
        state.updates[trained] += k
        sound = np.isfinite(loss).all(0) & torch.isfinite(weights.sum(-1)).cpu().numpy()
        state.frozen[np.array(members)[~sound]] = True
        return Scores(accuracy, loss)

    def probe(self, x: Tensor, y: Tensor, members: Sequence[int] | None = None) -> Probe:
        """Forward and backward over `x` [m, samples, inputs], `y` [m, samples], changing nothing.

        A learner whose loss is not finite is frozen.
        """
        members = list(range(len(self))) if members is None else list(members)
        weights = self.state.weights if self._is_everybody(members) else self.state.weights[members]
        layers, scratch = self.state.layout.views(weights), torch.empty_like(weights)
        gradients = self.state.layout.views(scratch)
        trace = forward(layers, x.to(weights), self.activation)
        log_p = F.log_softmax(trace.logits, -1)
        y = y.to(weights.device)
        loss = -log_p.gather(-1, y[..., None])[..., 0].mean(-1)  # [m]
        head = cross_entropy_delta(log_p, y)
        deltas: dict[int, Tensor] = {}
        backward(layers, gradients, trace, head, self.activation, deltas.__setitem__)
        self.state.frozen[np.array(members)[~torch.isfinite(loss).cpu().numpy()]] = True
        hidden = range(len(self.capacity))
        widths = np.array([self.widths(member) for member in members])  # [m, layers + 2]
        sizes = torch.from_numpy(widths[:, :-1] * widths[:, 1:]).to(weights).unbind(1)  # live weights, per layer [m]
        return Probe(
            members,
            self.state,
            self.state.updates[members],
            loss,
            trace.inputs,
            [*(deltas[layer] for layer in hidden), head],
            [gradients[layer].weight.abs().sum((1, 2)) / sizes[layer] for layer in hidden],
            [layers[layer].weight.abs().sum((1, 2)) / sizes[layer] for layer in hidden],
        )

    def edit(self, edits: Mapping[int, Edit], probe: Probe | None = None) -> dict[int, int]:
        """Carry out one edit per named member: all of them or, if any can't be done, none.

        Args:
            probe: of the named members as they are now; edits that select units need one.

        Returns:
            By member, the multiply-accumulates spent on scoring units.

        Raises:
            InvalidEdit, UnknownName: and the population is as before, generators included.
        """
        for member, edit in edits.items():
            if self.state.frozen[member]:
                raise InvalidEdit(f"Learner {member} has diverged and is frozen; begin it again before editing it.")
            check_edit(edit, self.state, member, self.activation)
        if probe is not None and not self._fits(probe):
            raise InvalidEdit(
                "The probe is of another moment: learners have been trained or edited since; probe again."
            )
        macs = dict.fromkeys(edits, 0)
        edits = {member: edit for member, edit in edits.items() if not edit.empty}
        if not edits:
            return macs
        before = {member: self.rngs[member].bit_generator.state for member in edits}
        try:
            worths, spent = score_units(self.state, edits, probe, self.rngs, self.activation)
            chosen = [member for member, edit in edits.items() if edit.selects]
            signals = {} if probe is None else {member: probe.signals(member) for member in chosen}
            self.state = apply_edits(self.state, edits, worths, signals, self.rngs, self.settings.init)
        except BaseException:
            for member, generator in before.items():
                self.rngs[member].bit_generator.state = generator
            raise
        return macs | spent

    def _fits(self, probe: Probe) -> bool:
        return probe.state is self.state and np.array_equal(probe.updates, self.state.updates[probe.members])

    def _is_everybody(self, members: list[int]) -> bool:
        return members == list(range(len(self)))

    def _uniform(self, members: list[int]) -> Uniform:
        """Random numbers for activations, from each learner's own generator."""
        generators, units = [self.noise[member] for member in members], max(self.capacity)

        def draw(z: Tensor) -> Tensor:
            # drawn for all slots: what a learner draws must not depend on its neighbours' padding
            rows = [torch.rand(z.shape[1], units, generator=generator, dtype=z.dtype) for generator in generators]
            return torch.stack(rows)[..., : z.shape[-1]].to(z.device)

        return draw

    def _rows(self, members: list[int]) -> tuple[Tensor, list[Tensor], Callable[[], None]]:
        """Weights and moments of `members`, and a function that stores what became of them.

        The population's own memory if that is all of it, else copies. Frozen learners are never stored.
        """
        state = self.state
        if self._is_everybody(members) and not state.frozen.any():
            return state.weights, state.moments, lambda: None
        index = torch.tensor(members, device=state.weights.device)
        rows = [flat[index] for flat in (state.weights, *state.moments)]
        keep = torch.from_numpy(~state.frozen[members]).to(index.device)

        def store() -> None:
            for flat, row in zip((state.weights, *state.moments), rows, strict=True):
                flat[index[keep]] = row[keep]

        return rows[0], rows[1:], store

    def _timing(self, members: list[int], updates: int) -> Timing:
        state = self.state
        clocks = [state.padded(layer, "clock", -1, members) for layer in range(len(self.capacity))]
        now, whole = state.updates[members], state.restarted[members]
        # padding must be of some age, and must not make a learner's ages look mixed
        timing = Timing(now, whole, [np.where(clock < 0, whole[:, None], clock) for clock in clocks])
        if all(phase.over(now[row]) for row, member in enumerate(members) for phase in state.phases[member]):
            return timing
        everything = np.ones((updates, len(members)))
        units = [np.ones((updates, *clock.shape)) for clock in clocks]
        for row, member in enumerate(members):
            phases, steps = state.phases[member], now[row] + np.arange(updates)
            everything[:, row] = unit_factors(phases, np.array([-1]), steps)[:, 0]
            for layer, factors in enumerate(units):
                cohorts = state.units[member][layer].cohort
                factors[:, row, : len(cohorts)] = unit_factors(phases, cohorts, steps)
        return replace(timing, whole_speed=everything, unit_speeds=units)


def _founders(live: Sequence[int]) -> tuple[Units, ...]:
    """The units that a learner starts with: the first slots of each layer."""
    layers, first = [], 0
    for units in live:
        zero = np.zeros(units, dtype=np.int64)
        layers.append(Units(np.arange(units), first + np.arange(units), zero, zero, zero))
        first += units
    return tuple(layers)
