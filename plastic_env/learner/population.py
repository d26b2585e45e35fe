"""n learners trained at once, in stacked tensors. One learner is a population of n = 1.

Learners never influence each other: each has its own weights, generator and stream, and no
operation mixes rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plastic_env.errors import InvalidData, InvalidEdit, InvalidSetting, check_whole, is_whole, look_up
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.batches import check_labels, check_values
from plastic_env.learner.compute import training_macs
from plastic_env.learner.devices import check_device
from plastic_env.learner.diagnostics import sample_plasticity
from plastic_env.learner.edits import Edit, check_edit
from plastic_env.learner.founders import Slots, blank_state, check_live_slots, founders
from plastic_env.learner.heads import widen_heads
from plastic_env.learner.masks import learnt_parameters
from plastic_env.learner.network import Network, Shape, backward, forward
from plastic_env.learner.objectives import OBJECTIVES
from plastic_env.learner.parameters import Layer, draw_all, of_members
from plastic_env.learner.passes import stage_modes, timing, unknown_classes
from plastic_env.learner.probing import Probe, mean_size
from plastic_env.learner.repacking import with_units
from plastic_env.learner.replacement import enter_newborns
from plastic_env.learner.scoring import score_units
from plastic_env.learner.settings import LearnerSettings
from plastic_env.learner.stages import Mode, Rows
from plastic_env.learner.state import PER_LEARNER
from plastic_env.learner.training import Regime, train_rows, training_rows
from plastic_env.learner.transaction import apply_edits, inherits


class Scores(NamedTuple):
    """Each batch's score before it was trained on; arrays [k, m], float64."""

    accuracy: np.ndarray  #: share of samples that are answered well
    loss: np.ndarray  #: mean over the batch


class Population:
    """n learners that share settings and nothing else.

    Args:
        n: how many.
        inputs: features of a sample, or the channels, height and width of an image, as which a convolutional network
            sees them; samples are given flat either way. outputs: classes to tell apart, or values to predict.
        settings: the learners' settings.
        loss: what for: "cross_entropy" of classes, or "squared_error" of values.
        device, dtype: where and in which precision weights live; data are moved and cast to them.
        threads: on the CPU, how many learners are trained at the same time. Results are the same bit for bit whatever
            it is; for that, torch must be left at one thread of its own.

    Every member must be given life with `begin` before it is used.

    Raises:
        InvalidSetting, UnknownName: values outside of these, or layers that don't fit the inputs.
    """

    def __init__(
        self,
        n: int,
        inputs: Shape,
        outputs: int,
        settings: LearnerSettings,
        *,
        loss: str = "cross_entropy",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> None:
        image = isinstance(inputs, (tuple, list)) and len(inputs) == 3 and all(is_whole(size, 1) for size in inputs)
        fewest = 2 if look_up(OBJECTIVES, loss, "loss").classes else 1
        if not (is_whole(n, 1) and is_whole(outputs, fewest) and (image or is_whole(inputs, 1))):
            raise InvalidSetting(
                f"n={n!r}, inputs={inputs!r}, outputs={outputs!r}; give n of at least 1, a positive number of inputs "
                "or (channels, height, width), and outputs for at least 2 classes, or 1 value."
            )
        if not isinstance(settings, LearnerSettings):
            raise InvalidSetting(f"settings is {settings!r}; give plastic_env.LearnerSettings(...).")
        check_whole("threads", threads)
        check_device(device, dtype)
        self.settings, self.threads = settings, threads
        self.activation = ACTIVATIONS[settings.activation]
        function = self.activation
        for rule in settings.maintenance:
            function = rule.dress(function)
        self._regime = Regime(settings.optimizer, function, settings.maintenance, settings.init)
        self.network = Network.of(settings, inputs, outputs, loss)
        self.rngs = [np.random.default_rng(0) for _ in range(n)]  # for initial weights and edits
        self.noise_rngs = [torch.Generator() for _ in range(n)]  # for random activations
        self.state = blank_state(self.network, settings, n, torch.zeros(0, device=device, dtype=dtype))

    def __len__(self) -> int:
        return len(self.rngs)

    @property
    def capacity(self) -> tuple[int, ...]:
        """Slots of each editable layer."""
        return self.state.capacity

    def live(self, member: int) -> tuple[int, ...]:
        """Live units of each editable layer of one learner."""
        return self.state.live(member)

    def widths(self, member: int) -> tuple[int, ...]:
        """Input units, live units of each hidden layer, classes."""
        return self.state.widths(member)

    def training_macs(self, member: int) -> int:
        """Multiply-accumulates of training one learner on one sample."""
        return training_macs(self.network, self.widths(member))

    def layers(self) -> list[Layer]:
        """The weights now, padded; views into the population's memory."""
        return self.state.layout.views(self.state.weights)

    def live_slots(self, member: int) -> tuple[tuple[int, ...], ...]:
        """The mask of one learner: which slots of each editable layer are live, ascending."""
        return self.state.live_slots(member)

    def begin(self, rngs: Mapping[int, np.random.Generator], live_slots: Mapping[int, Slots] | None = None) -> None:
        """Replace members by new learners, drawn from the given generators.

        live_slots: by member, which slots of each editable layer are live (a mask); for members that aren't named, as
            many of the first as the settings say. All slots' weights are drawn, whichever live: a generator's learner
            has the same initial weight in a slot under any mask.

        Raises:
            InvalidSetting, InvalidEdit: something else than `numpy.random.default_rng(seed)`, no such learner, or a
                mask that doesn't fit the layers, or that names a learner who isn't to begin.
        """
        masks = live_slots or {}
        self.check_begin(rngs, masks)
        state = self.state
        initial = [layer.clone() for layer in state.initial]
        counters = {name: getattr(state, name).copy() for name in PER_LEARNER}
        phases = list(state.phases)
        units = {}
        for member, rng in rngs.items():
            first = founders(self.network, self.settings, masks.get(member))
            units[member] = first
            self.rngs[member], phases[member] = rng, ()
            self.noise_rngs[member].manual_seed(int(rng.integers(2**63)))
            draw_all(initial, member, len(first[-1]), rng, self.settings.init)
            for name, values in counters.items():
                values[member] = {"ids": sum(map(len, first[:-1])), "cohorts": 1}.get(name, 0)
        state = replace(state, initial=initial, phases=tuple(phases), **counters)
        self.state = with_units(state, units, keep=False)

    def check_begin(self, rngs: Mapping[int, np.random.Generator], masks: Mapping[int, Slots]) -> None:
        """Raise what `begin` would, and change nothing."""
        self._check_members(rngs)
        for member, rng in rngs.items():
            if not isinstance(rng, np.random.Generator) or not isinstance(rng.bit_generator, np.random.PCG64):
                raise InvalidSetting(f"Learner {member} is given {rng!r}; give numpy.random.default_rng(seed).")
        if not set(masks) <= set(rngs):
            raise InvalidSetting(f"live_slots names {sorted(masks)}, but those who begin are {sorted(rngs)}.")
        check_live_slots(masks, self.capacity)

    def widen_head(self, classes: Mapping[int, int]) -> None:
        """Give heads room for new classes: by member, how many there are to be from now on.

        New classes' weights are drawn from the initial distribution and their optimizer state is empty, with an age
        of its own; everything else stays, optimizer state included. Learners may differ in their number of classes.

        Raises:
            InvalidEdit: fewer classes than there are, a learner that has diverged, or one that predicts values.
        """
        if not classes:
            return
        if not self.network.objective.classes:
            raise InvalidEdit("These learners predict values, not classes; their heads stay as wide as they are.")
        state = self.state
        for member, wanted in zip(self._named(list(classes)), classes.values(), strict=True):
            have = state.classes(member)
            if not is_whole(wanted, have):
                raise InvalidEdit(
                    f"Learner {member} has {have} classes; widen its head to at least that, not {wanted!r}."
                )
            self._refuse_frozen(member)
        self.state = widen_heads(state, classes, self.rngs, self.settings.init)

    def train(self, x: Tensor, y: Tensor, members: Sequence[int] | None = None) -> Scores:
        """Score each batch, then train on it, k batches in order.

        Args:
            x: [k, m, batch, inputs]; y: [k, m, batch] labels, or [k, m, batch, outputs] values; m as `members`
                (default: all).

        A learner whose loss or weights are no longer finite afterwards is frozen: from that batch on
        its accuracy counts 0, and it is never changed again. It goes on taking part in the arithmetic
        where `members` names it, so that the others' results don't depend on its fate: they stay the same
        bit for bit while the population's stored widths (those of its widest learner) do, else to rounding.

        Raises:
            InvalidData: a batch that is empty, too small for batch normalisation, not finite or wrongly labelled;
                nothing has been trained then.
        """
        members = self._named(members)
        x, y = self._check_data(x, y, members, "batch {0} of learner {1}")
        state = self.state
        rows, store = training_rows(state, members, self.noise_rngs, self.rngs)
        threads = self.threads if rows.weights.device.type == "cpu" else 1
        found = train_rows(rows, self.network.accept(x), y, state=state, regime=self._regime, threads=threads)
        store()
        loss, accuracy = (part.double().mean(-1).cpu().numpy() for part in (found.losses, found.hits))
        accuracy[~np.logical_and.accumulate(np.isfinite(loss), 0)] = 0
        accuracy[:, state.frozen[members]] = 0
        trained = ~state.frozen[members]
        self.state = enter_newborns(state, found.replaced)
        state = self.state
        state.updates[np.array(members)[trained]] += len(y)
        state.update_norms[np.array(members)[trained]] = found.update_norms.double().cpu().numpy()[trained]
        sound = np.isfinite(loss).all(0) & torch.isfinite(rows.weights.sum(-1)).cpu().numpy()
        state.frozen[np.array(members)[~sound]] = True
        return Scores(accuracy, loss)

    def probe(self, x: Tensor, y: Tensor, members: Sequence[int] | None = None) -> Probe:
        """Forward and backward over `x` [m, samples, inputs] and its targets `y`; changes nothing, but for freezing
        learners whose loss is not finite.

        Raises:
            InvalidData: as in `train`.
        """
        members = self._named(members)
        (x,), (y,) = self._check_data(x[None], y[None], members, "the probe batch of learner {1}")
        state, network = self.state, self.network
        weights = of_members(state.weights, members)
        layers, scratch = state.layout.views(weights), torch.empty_like(weights)
        gradients = state.layout.views(scratch)
        modes = self._modes(members)
        trace = forward(network, layers, network.accept(x), modes)
        logits = self._of_known_classes(trace.logits, members)
        losses, head = network.objective.losses(logits, y), network.objective.delta(logits, y)
        deltas: dict[int, Tensor] = {}

        def keep(layer: int, delta: Rows) -> None:
            deltas[layer] = delta if isinstance(delta, Tensor) else torch.stack(delta)

        backward(network, layers, gradients, trace, head, modes, keep)
        state.frozen[np.array(members)[~torch.isfinite(losses).all(-1).cpu().numpy()]] = True
        return Probe(
            members,
            state,
            state.updates[members],
            losses,
            modes,
            trace.inputs,
            trace.saved,
            [*(deltas[layer] for layer in range(len(network.hidden))), head],
            {layer: mean_size(state, layers, members, layer) for layer in network.editable},
            scratch,
            y,
        )

    def sample_plasticity(self, probe: Probe) -> np.ndarray:
        """How much of each sample's loss one update on the probe batch would take away, changing nothing.

        probe: of learners as they are now.

        Returns:
            [m] means over the batch of clip(1 - loss after / loss before, 0, 1) (Elsayed & Mahmood 2024).
        """
        self._refuse_stale(probe)
        state, members = self.state, probe.members
        flats = [flat[members] for flat in (state.weights, *state.moments)]
        when = timing(state, members, 1)
        if self.settings.optimizer.sigma is not None:  # nothing is to be drawn here
            when = replace(when, live=learnt_parameters(state, members))
        schedule = self.settings.optimizer.schedule(state.layout, when, 1, flats[0])
        schedule.update(0, flats[0], probe.parameter_gradients.clone(), flats[1:])
        trace = forward(self.network, state.layout.views(flats[0]), probe.inputs[0], probe.modes)
        after = self.network.objective.losses(self._of_known_classes(trace.logits, members), probe.targets)
        found = sample_plasticity(probe.losses, after).mean(-1)
        return torch.nan_to_num(found).double().cpu().numpy()

    def predict(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """Logits [m, samples, classes] of `x` [m, samples, inputs] by the learners as they are to be used: with
        running statistics, nothing random. Classes that a learner doesn't have get -inf.

        Raises:
            InvalidData: inputs of another shape.
        """
        members = self._named(members)
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[::2] != (len(members), self.network.inputs):
            given = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise InvalidData(
                f"The inputs are {given}; give a tensor ({len(members)}, samples, {self.network.inputs})."
            )
        state = self.state
        weights = of_members(state.weights, members)
        modes = [mode._replace(statistics="running") for mode in self._modes(members)]
        logits = forward(self.network, state.layout.views(weights), self.network.accept(x.to(weights)), modes).logits
        return self._of_known_classes(logits, members)

    def edit(self, edits: Mapping[int, Edit], probe: Probe | None = None) -> dict[int, int]:
        """Carry out one edit per named member: all of them or, if any can't be done, none.

        Args:
            probe: of the named members as they are now; edits that select units need one.

        Returns:
            By member, the multiply-accumulates spent on scoring units.

        Raises:
            InvalidEdit, UnknownName: and the population is as before, generators included.
        """
        widths = np.stack([units.live for units in self.state.units], 1).tolist()
        checked = set()  # learners alike may do alike
        for member, edit in zip(self._named(list(edits)), edits.values(), strict=True):
            self._refuse_frozen(member)
            alike = id(edit), *widths[member], bool(self.state.stored[member])
            if alike not in checked:
                check_edit(edit, self.state, member, self.activation)
                checked.add(alike)
        if probe is not None:
            self._refuse_stale(probe)
            probe.rows([member for member, edit in edits.items() if edit.selects])
        macs = dict.fromkeys(edits, 0)
        edits = {member: edit for member, edit in edits.items() if not edit.empty}
        if not edits:
            return macs
        before = {member: self.rngs[member].bit_generator.state for member in edits}
        try:
            worths, spent = score_units(self.state, edits, probe, self.rngs)
            heirs = [member for member, edit in edits.items() if edit.selects and inherits(edit)]
            sights = {} if probe is None else {member: probe.of(member) for member in heirs}
            self.state = apply_edits(self.state, edits, worths, sights, self.rngs, self.settings.init)
        except BaseException:
            for member, generator in before.items():
                self.rngs[member].bit_generator.state = generator
            raise
        return macs | spent

    def _refuse_stale(self, probe: Probe) -> None:
        if probe.state is not self.state or not np.array_equal(probe.updates, self.state.updates[probe.members]):
            raise InvalidEdit(
                "The probe is of another moment: learners have been trained or edited since; probe again."
            )

    def _refuse_frozen(self, member: int) -> None:
        if self.state.frozen[member]:
            raise InvalidEdit(f"Learner {member} has diverged and is frozen; begin it again before editing it.")

    def _named(self, members: Sequence[int] | None) -> list[int]:
        """The members meant, all of them by default; each must live."""
        members = list(range(len(self))) if members is None else list(members)
        self._check_members(members)
        if len(set(members)) < len(members):
            raise InvalidEdit(f"The learners {members} are named; name each once.")
        for member in members:
            if self.state.cohorts[member] == 0:
                raise InvalidEdit(f"Learner {member} has never begun; give it life with begin({{{member}: rng}}).")
        return members

    def _check_members(self, members: Iterable[int]) -> None:
        for member in members:
            if not is_whole(member) or member >= len(self):
                raise InvalidEdit(f"There is no learner {member!r}; they are numbered from 0 to {len(self) - 1}.")

    def _check_data(self, x: Tensor, y: Tensor, members: list[int], name: str) -> tuple[Tensor, Tensor]:
        """The data in the learners' place and type, checked."""
        weights = self.state.weights
        if isinstance(x, Tensor):
            x = x.to(weights)
        outputs = self.state.units[-1].live[members].tolist()
        if self.network.objective.classes:
            check_labels(x, y, members, self.network.inputs, outputs, name)
        else:
            check_values(x, y, members, self.network.inputs, outputs[0], name)
        if self.network.undefined(y.shape[2]):
            raise InvalidData(
                f"Batches hold {y.shape[2]} sample(s), of which batch normalisation can't take a variance; "
                "give larger batches, or choose norm='layer'."
            )
        return x, y.to(weights.device, torch.int64 if self.network.objective.classes else weights.dtype)

    def _of_known_classes(self, logits: Tensor, members: list[int]) -> Tensor:
        """Logits [m, samples, classes], -inf for classes that a learner doesn't have."""
        ban = unknown_classes(self.state, members)
        return logits if ban is None else logits + ban

    def _modes(self, members: list[int]) -> list[Mode]:
        return stage_modes(self.state, members, self.activation)
