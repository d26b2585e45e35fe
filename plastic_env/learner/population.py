"""n learners trained at once, in stacked tensors. One learner is a population of n = 1.

Learners never influence each other: each has its own weights, generator and stream, and no
operation mixes rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plastic_env.errors import InvalidEdit, InvalidSetting, is_whole, look_up
from plastic_env.learner import diagnostics
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.cohorts import CohortPoint, cohort_points
from plastic_env.learner.edits import KINDS, Edit, check_edit
from plastic_env.learner.network import INITS, Layer, Layout, backward, cross_entropy_delta, forward
from plastic_env.learner.optimizers import Adam, Optimizer, Timing
from plastic_env.learner.selection import LayerView, Rule, find_rule, score
from plastic_env.learner.state import Sources, State, Units, repack, stored_width
from plastic_env.learner.trainability import unit_factors
from plastic_env.learner.transaction import Signals, Worths, apply_edits, draw_initial


@dataclass(frozen=True)
class LearnerSettings:
    """Everything about a learner but its task stream and its seed.

    hidden: slots (capacity) of each hidden layer.
    live: fraction of each layer's slots that are live from the start; at least one unit is.
    activation: a name in `ACTIVATIONS`.
    init: a name in `INITS`; fan-in counts slots, not live units.
    optimizer: `Adam(...)` or `SGD(...)`.

    Raises:
        InvalidSetting, UnknownName: values outside of these.
    """

    hidden: tuple[int, ...] = (64, 64)
    live: float = 1.0
    activation: str = "relu"
    init: str = "torch"
    optimizer: Optimizer = field(default_factory=Adam)

    def __post_init__(self) -> None:
        look_up(ACTIVATIONS, self.activation, "activation")
        look_up(INITS, self.init, "initialisation")
        if (
            not isinstance(self.hidden, (tuple, list))
            or not self.hidden
            or not all(is_whole(n, 1) for n in self.hidden)
        ):
            raise InvalidSetting(f"hidden is {self.hidden!r}; give a tuple of at least one positive whole number.")
        object.__setattr__(self, "hidden", tuple(int(slots) for slots in self.hidden))
        if isinstance(self.live, bool) or not isinstance(self.live, (int, float)) or not 0 < self.live <= 1:
            raise InvalidSetting(f"live is {self.live!r}; give a fraction in (0, 1].")
        if not hasattr(self.optimizer, "schedule"):
            raise InvalidSetting(
                f"optimizer is {self.optimizer!r}; give plastic_env.Adam(...) or plastic_env.SGD(...)."
            )

    @property
    def live_units(self) -> tuple[int, ...]:
        """Live units of each hidden layer at the start."""
        return tuple(max(1, round(self.live * slots)) for slots in self.hidden)


_COUNTERS = ("updates", "restarted", "ids", "cohorts", "frozen", "stored")  # of State, one per learner


class Scores(NamedTuple):
    """Each batch's score before it was trained on; arrays [k, m], float64."""

    accuracy: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Probe:
    """A forward and backward pass of m learners over a probe batch that is not trained on."""

    members: list[int]
    state: State  # that was probed
    updates: np.ndarray  # [m] of each learner when it was
    loss: Tensor  # [m]
    activations: list[Tensor]  # inputs, then per hidden layer [m, samples, units]
    deltas: list[Tensor]  # dL/dz per hidden layer, then dL/dlogits: [m, samples, units]
    weight_gradients: list[Tensor]  # per hidden layer: mean |dL/dw| over live weights, [m]
    weight_norms: list[Tensor]  # per hidden layer: mean |w| over live weights, [m]

    def signals(self, member: int) -> Signals:
        """What was seen of one learner."""
        row = self.members.index(member)
        return Signals([a[row] for a in self.activations], [d[row] for d in self.deltas])


@dataclass(frozen=True)
class Diagnosis:
    """Diagnostics of m learners, float64 arrays; those with a layer axis are [m, layers].

    Log-parities compare the newest cohort with all older units; where `comparable` is False one of
    the two is empty and both log-parities are 0.
    """

    loss: np.ndarray  # [m]
    comparable: np.ndarray  # bool
    newborn: np.ndarray  # fraction of live units in the newest cohort, 0 for the founders
    age: np.ndarray  # mean updates since birth
    log_activation_parity: np.ndarray
    log_gradient_parity: np.ndarray
    dormant: np.ndarray
    dead: np.ndarray
    effective_rank: np.ndarray
    stable_rank: np.ndarray
    srank: np.ndarray
    weight_norm: np.ndarray
    gradient_norm: np.ndarray


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
        self.rngs = [np.random.default_rng(0) for _ in range(n)]
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
        return (self.state.layout.widths[0], *self.live(member), self.state.layout.widths[-1])

    def layers(self) -> list[Layer]:
        """The weights now, padded; views into the population's memory."""
        return self.state.layout.views(self.state.weights)

    def begin(self, rngs: Mapping[int, np.random.Generator]) -> None:
        """Replace members by new learners, drawn from the given generators."""
        state, sources = self.state, [Sources.unchanged(units) for units in self.state.units]
        units = list(state.units)
        initial = [Layer(*(t.clone() for t in layer)) for layer in state.initial]
        counters = {name: getattr(state, name).copy() for name in _COUNTERS}
        phases = list(state.phases)
        for member, rng in rngs.items():
            self.rngs[member], phases[member] = rng, ()
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
        picked = weights.new_empty(k, m, batch, 1)
        hits = torch.empty(k, m, batch, dtype=torch.bool, device=weights.device)
        for step in range(k):
            trace = forward(layers, x[step], self.activation)
            log_p = F.log_softmax(trace.logits, -1)  # [m, batch, classes]
            torch.gather(log_p, -1, y[step, ..., None], out=picked[step])
            torch.eq(trace.logits.argmax(-1), y[step], out=hits[step])
            backward(layers, gradients, trace, cross_entropy_delta(log_p, y[step]), self.activation)
            schedule.update(step, weights, scratch, moments)
        store()
        loss = -picked[..., 0].double().mean(-1).cpu().numpy()
        accuracy = hits.double().mean(-1).cpu().numpy()
        accuracy[~np.logical_and.accumulate(np.isfinite(loss), 0)] = 0
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
        weights = self._rows(members)[0]
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
        sizes = [self._live_weights(layer, members).to(weights) for layer in hidden]
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

    def diagnose(self, probe: Probe) -> Diagnosis:
        """All diagnostics of the probed learners. A frozen learner's are finite, but mean nothing."""
        layers = [self._diagnose_layer(probe, layer) for layer in range(len(self.capacity))]
        stacked = {name: np.stack([layer[name] for layer in layers], 1) for name in layers[0]}
        loss = np.nan_to_num(probe.loss.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        return Diagnosis(loss=loss, **stacked)

    def cohorts(self, probe: Probe) -> dict[int, list[CohortPoint]]:
        """Every live cohort of each probed learner, measured against the units older than it."""
        points: dict[int, list[CohortPoint]] = {member: [] for member in probe.members}
        for layer in range(len(self.capacity)):
            active = diagnostics.active_fraction(probe.activations[layer + 1]).double().cpu().numpy()
            gradient = probe.deltas[layer].abs().mean(-2).double().cpu().numpy()
            for row, member in enumerate(probe.members):
                units = self.state.units[member][layer]
                if units.cohort.any() and not self.state.frozen[member]:
                    seen = (values[row, : len(units)] for values in (active, gradient))
                    points[member] += cohort_points(layer, units, int(self.state.updates[member]), *seen)
        return points

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
        before = {member: self.rngs[member].bit_generator.state for member in edits}
        try:
            worths, macs = self._worths(edits, probe)
            if not all(edit.empty for edit in edits.values()):
                chosen = [member for member, edit in edits.items() if edit.selects]
                signals = {} if probe is None else {member: probe.signals(member) for member in chosen}
                self.state = apply_edits(self.state, edits, worths, signals, self.rngs, self.settings.init)
        except BaseException:
            for member, generator in before.items():
                self.rngs[member].bit_generator.state = generator
            raise
        return macs

    def _fits(self, probe: Probe) -> bool:
        return probe.state is self.state and np.array_equal(probe.updates, self.state.updates[probe.members])

    def _rows(self, members: list[int]) -> tuple[Tensor, list[Tensor], Callable[[], None]]:
        """Weights and moments of `members`, and a function that stores what became of them.

        The population's own memory if that is all of it, else copies. Frozen learners are never stored.
        """
        state = self.state
        if members == list(range(len(self))) and not state.frozen.any():
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

    def _live_weights(self, layer: int, members: Sequence[int]) -> Tensor:
        return torch.tensor([self.widths(member)[layer] * self.widths(member)[layer + 1] for member in members])

    def _diagnose_layer(self, probe: Probe, layer: int) -> dict[str, np.ndarray]:
        state, members = self.state, probe.members
        cohort = state.padded(layer, "cohort", -1, members)  # [m, width]
        age = state.updates[members][:, None] - state.padded(layer, "born", 0, members)
        live, newest = cohort >= 0, cohort.max(1, keepdims=True)
        newborn = (cohort == newest) & (newest > 0)
        incumbent = live & ~newborn
        comparable = newborn.any(1) & incumbent.any(1)
        features = probe.activations[layer + 1]
        if state.frozen[members].any():
            features = features.clone()
            features[torch.from_numpy(state.frozen[members])] = 0
        masks = [torch.from_numpy(mask).to(features.device) for mask in (live, newborn, incumbent)]
        active, singular = diagnostics.active_fraction(features), diagnostics.singular_values(features)
        measured = {
            "log_activation_parity": diagnostics.log_parity(active, *masks[1:]),
            "log_gradient_parity": diagnostics.log_parity(probe.deltas[layer].abs().mean(-2), *masks[1:]),
            "dormant": diagnostics.dormant_fraction(features, masks[0]),
            "dead": diagnostics.dead_fraction(features, masks[0]),
            "effective_rank": diagnostics.effective_rank(singular),
            "stable_rank": diagnostics.stable_rank(singular),
            "srank": diagnostics.srank(singular),
            "weight_norm": probe.weight_norms[layer],
            "gradient_norm": probe.weight_gradients[layer],
        }
        found = {
            name: np.nan_to_num(value.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
            for name, value in measured.items()
        }
        for name in ("log_activation_parity", "log_gradient_parity"):
            found[name] = np.where(comparable, found[name], 0.0)
        units = live.sum(1)
        return found | {
            "comparable": comparable,
            "newborn": newborn.sum(1) / units,
            "age": np.where(live, age, 0).sum(1) / units,
        }

    def _worths(self, edits: Mapping[int, Edit], probe: Probe | None) -> tuple[Worths, dict[int, int]]:
        """Score every unit that an edit may choose among; members that ask alike are scored at once."""
        # kind by kind and layer by layer: the order of a learner's random draws must not depend on its neighbours
        asked: dict[tuple[str, int, str | Rule], list[int]] = {}
        for kind in KINDS:
            for layer in range(len(self.capacity)):
                for member, edit in edits.items():
                    if edit.counts(kind, len(self.capacity))[layer]:
                        asked.setdefault((kind, layer, getattr(edit, f"{kind}_rule")), []).append(member)
        worths: dict[tuple[int, int, str], np.ndarray] = {}
        macs = dict.fromkeys(edits, 0)
        for (kind, layer, rule), members in asked.items():
            if probe is None:
                raise InvalidEdit("This edit selects units; give a probe of the learners as they are now.")
            view = (self._slots_view if kind == "grow" else self._live_view)(layer, members, probe)
            table = score(find_rule(kind, rule), view)
            for member, worth in zip(members, table, strict=True):
                worths[member, layer, kind] = worth if kind == "grow" else worth[: self.live(member)[layer]]
                if kind == "grow":  # of live units, the probe has measured all of it before
                    widths, samples = self.widths(member), probe.activations[0].shape[1]
                    dormant = self.capacity[layer] - widths[layer + 1]
                    macs[member] += samples * dormant * view.macs(widths[layer], widths[layer + 2])
        return worths, macs

    def _live_view(self, layer: int, members: list[int], probe: Probe) -> LayerView:
        into, out = (Layer(*(t[members] for t in self.layers()[at])) for at in (layer, layer + 1))
        ids = torch.from_numpy(self.state.padded(layer, "id", -1, members)).to(into.weight.device)
        return self._view(layer, members, probe, into, out.weight, ids, ids >= 0)

    def _slots_view(self, layer: int, members: list[int], probe: Probe) -> LayerView:
        below, above = (Layer(*(t[members] for t in self.state.initial[at])) for at in (layer, layer + 1))
        incoming, outgoing = below.weight, above.weight  # [m, slots, slots below], [m, slots above, slots]
        if layer > 0:
            incoming = self._live_columns(incoming, layer - 1, members)
        if layer + 1 < len(self.capacity):
            outgoing = self._live_columns(outgoing.mT, layer + 1, members).mT
        ids = torch.full(incoming.shape[:2], -1, device=incoming.device)
        return self._view(layer, members, probe, Layer(incoming, below.bias), outgoing, ids, ids < 0)

    def _view(
        self, layer: int, members: list[int], probe: Probe, into: Layer, outgoing: Tensor, ids: Tensor, exists: Tensor
    ) -> LayerView:
        rows = [probe.members.index(member) for member in members]
        return LayerView(
            below=probe.activations[layer][rows],
            above=probe.deltas[layer + 1][rows],
            incoming=into.weight,
            bias=into.bias,
            outgoing=outgoing,
            exists=exists,
            ids=ids,
            rngs=[self.rngs[member] for member in members],
            capacity=self.capacity[layer],
            function=self.activation,
        )

    def _live_columns(self, weight: Tensor, layer: int, members: list[int]) -> Tensor:
        """The columns [m, rows, slots] of live units only, in stored order, padded with zeros."""
        slot = torch.from_numpy(self.state.padded(layer, "slot", -1, members)).to(weight.device)[:, None, :]
        index = slot.clamp_min(0).expand(-1, weight.shape[1], -1)
        return weight.gather(2, index) * (slot >= 0)


def _founders(live: Sequence[int]) -> tuple[Units, ...]:
    """The units that a learner starts with: the first slots of each layer."""
    layers, first = [], 0
    for units in live:
        zero = np.zeros(units, dtype=np.int64)
        layers.append(Units(np.arange(units), first + np.arange(units), zero, zero, zero))
        first += units
    return tuple(layers)
