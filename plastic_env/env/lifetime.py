"""The rules of an episode: n learners, each living through its own task stream.

Knows nothing of Gymnasium; the single and the vector environment and the study runner all use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from plastic_env.env.episode import EpisodeSettings, Ledger, Outcome, Plan, Start
from plastic_env.env.evaluation import test_accuracy, tested_tasks
from plastic_env.errors import InvalidEdit, InvalidSetting, InvalidSnapshot, is_whole
from plastic_env.learner import snapshots
from plastic_env.learner.cohorts import CohortPoint
from plastic_env.learner.compute import forward_macs
from plastic_env.learner.edits import Edit, check_edit
from plastic_env.learner.founders import Slots
from plastic_env.learner.population import Population
from plastic_env.learner.probing import Diagnosis, Probe, Removal, diagnose, measure_cohorts, measure_removal
from plastic_env.learner.snapshots import Captured
from plastic_env.streams.stream import Scenario, TaskStream

CHUNK_BYTES = 64 * 2**20  # inputs laid out at a time
CHUNK_UPDATES = 64
Onlooker = Callable[[int, Plan, np.ndarray], None]
_ARRAYS = ("position", "edited", "accuracy", "accuracy_change", "loss", "at_shift", "over")  # of Lifetime, [n] each


class Lifetime:
    """n independent episodes under one set of rules.

    Args:
        scenario: makes each learner's stream from a seed.
        settings: how learners live.
        n: number of learners.
        device, dtype: where and in which precision learners are computed.
        threads: CPU threads to compute with: they share the learners, and results are the same bit for bit whatever
            their number. A single learner is computed by one.

    Raises:
        InvalidSetting: no scenario, or samples too few for batch normalisation.
    """

    def __init__(
        self,
        scenario: Scenario,
        settings: EpisodeSettings,
        n: int = 1,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> None:
        if not hasattr(scenario, "stream"):
            raise InvalidSetting(
                f"scenario is {scenario!r}; give one with a method stream(seed): scenarios.find(name)."
            )
        if not isinstance(settings, EpisodeSettings):
            raise InvalidSetting(f"settings is {settings!r}; give plastic_env.EpisodeSettings(...).")
        self.scenario, self.settings = scenario, settings
        example = scenario.stream(0)
        self.updates, self.batch_size = example.updates, example.batch_size
        self.population = Population(
            n,
            example.signature.inputs,
            example.signature.outputs,
            settings.learner,
            loss=example.signature.loss,
            device=device,
            dtype=dtype,
        )
        self.streams: list[TaskStream] = [example] * n
        self.ledger = Ledger.of(n)
        self.position = np.zeros(n, dtype=np.int64)  # updates of the stream used up
        self.edited = np.zeros(n, dtype=np.int64)  # position of the latest edit
        self.accuracy = np.zeros(n)  # mean online accuracy of the latest step
        self.accuracy_change = np.zeros(n)  # against the step before
        self.loss = np.zeros(n)  # mean online loss of the latest step
        self.at_shift = np.zeros(n, dtype=bool)
        self.over = np.ones(n, dtype=bool)
        samples = min(settings.probe_samples, self.updates * self.batch_size)
        if self.population.network.undefined(min(self.batch_size, samples)):
            raise InvalidSetting(
                f"Batches hold {self.batch_size} sample(s) and probes {samples}; batch normalisation needs at least 2 "
                "in each: choose others, or norm='layer'."
            )
        self._probe_x = torch.zeros(n, samples, example.signature.features)
        self._probe_y = example.signature.targets(n, samples)
        self._cohorts: dict[int, list[CohortPoint]] = {}  # seen in the present step
        self._onlooker: Onlooker | None = None
        self._look_every = 1
        self.diagnosis = _blank_diagnosis(n, len(settings.learner.slots))

    def __len__(self) -> int:
        return len(self.population)

    def begin(self, rngs: Mapping[int, np.random.Generator], starts: Mapping[int, Start] | None = None) -> None:
        """Start new episodes for the given members; each generator decides its learner and its stream.

        starts: of those members whose learners are to begin otherwise than their settings and generators say.

        Raises:
            InvalidSetting: a start of a member who isn't to begin, or a mask that doesn't fit; nothing has changed.
        """
        starts = starts or {}
        if not set(starts) <= set(rngs):
            raise InvalidSetting(f"starts names {sorted(starts)}, but those who begin are {sorted(rngs)}.")
        masks = {member: start.live_slots for member, start in starts.items() if start.live_slots is not None}
        self.population.check_begin(rngs, masks)
        with _one_torch_thread():
            self._begin(rngs, {member: start.draw for member, start in starts.items()}, masks)

    def _begin(
        self, rngs: Mapping[int, np.random.Generator], draws: Mapping[int, int], masks: Mapping[int, Slots]
    ) -> None:
        learners = {}
        for member, rng in rngs.items():
            stream_seed, learner_seed = (int(seed) for seed in rng.integers(2**63, size=2))
            draw = draws.get(member, 0)
            self.streams[member] = self.scenario.stream(stream_seed)
            learners[member] = np.random.default_rng([learner_seed, draw] if draw else learner_seed)
            self._remember(member, *self._first_batches(self.streams[member]))
        self.population.begin(learners, masks)
        members = list(rngs)
        for values in (*vars(self.ledger).values(), *(getattr(self, name) for name in _ARRAYS)):
            values[members] = 0
        self._probe(members)
        self._cohorts.clear()

    def check(self, member: int, plan: Plan) -> None:
        """Raise `InvalidEdit` if `plan` can't be carried out now."""
        if not (is_whole(member) and member < len(self)):
            raise InvalidEdit(f"There is no learner {member!r}; they are numbered from 0 to {len(self) - 1}.")
        if not isinstance(plan, Plan):
            raise InvalidEdit(f"The plan is {plan!r}; give plastic_env.Plan(Edit(...), budget=...).")
        if self.over[member]:
            raise InvalidEdit(f"The episode of learner {member} is over (or never began); begin it again first.")
        budget, most = plan.budget, self.settings.max_budget
        if not is_whole(budget, 1) or budget > most:
            raise InvalidEdit(f"budget is {budget!r}; give a whole number from 1 to {most} (max_budget).")
        check_edit(plan.edit, self.population.state, member, self.population.activation)

    def step(self, plans: Mapping[int, Plan]) -> dict[int, Outcome]:
        """Carry out one plan for each named member: edit, train, measure.

        Raises:
            InvalidEdit, UnknownName: if any plan can't be done; then nothing at all has changed.
        """
        for member, plan in plans.items():
            self.check(member, plan)
        if not plans:
            return {}
        with _one_torch_thread():
            return self._step(plans)

    def _step(self, plans: Mapping[int, Plan]) -> dict[int, Outcome]:
        members, start = list(plans), self.position.copy()
        spent = self.ledger.total
        births, removals = self._edit(plans)
        scores = self._train(plans)
        plasticity = self._measure_plasticity(self._probe(members))
        tests = {member: self._test(member) for member in members}
        self._note_shifts(members)
        outcomes = {}
        for member, plan in plans.items():
            accuracy, loss = scores[member]
            finite = loss[np.isfinite(loss)]
            self.accuracy_change[member] = accuracy.mean() - self.accuracy[member]
            self.accuracy[member], self.loss[member] = accuracy.mean(), finite.mean() if finite.size else 0.0
            diverged = bool(self.population.state.frozen[member])
            ended = diverged or self.position[member] == self.updates
            capped = self.settings.compute_cap is not None and self.ledger.total[member] >= self.settings.compute_cap
            self.over[member] = ended or capped
            outcomes[member] = Outcome(
                plan=plan,
                start=int(start[member]),
                stop=int(self.position[member]),
                accuracy=accuracy,
                loss=loss,
                live=self.population.live(member),
                newborns=_newborns(plan.edit, len(self.population.capacity)),
                birth=births.get(member),
                end=_row(self.diagnosis, member),
                removal=removals.get(member),
                plasticity=plasticity.get(member),
                tests=tuple(tests[member].values()),
                tested=tuple(tests[member]),
                cohorts=tuple(self._cohorts.pop(member, ())),
                macs=int(self.ledger.total[member] - spent[member]),
                weights=self.streams[member].weights(int(start[member]), int(self.position[member])),
                stream_updates=self.updates,
                shift=bool(self.at_shift[member]),
                diverged=diverged,
                terminated=bool(ended),
                truncated=bool(capped and not ended),
            )
        return outcomes

    def watch(self, onlooker: Onlooker, every: int) -> None:
        """Let `onlooker(member, plan, accuracy)` see each learner before it trains on from any multiple of `every`
        updates: after the step's edit, and in the midst of its budget. Lives are what they are without, bit for bit,
        but for the update at which training stops once a learner has diverged.

        accuracy: of the batches so far in this step, [k].

        Raises:
            InvalidSetting: `every` is no whole number of at least 1.
        """
        if not is_whole(every, 1):
            raise InvalidSetting(f"every is {every!r}; give a whole number of at least 1.")
        self._onlooker, self._look_every = onlooker, int(every)

    def glance(self, member: int) -> Probe:
        """What a probe of one learner shows now. Nobody is charged for it, and nothing changes."""
        frozen = self.population.state.frozen
        before = frozen.copy()  # a probe freezes those whose loss is not finite
        with _one_torch_thread():
            probe = self.population.probe(self._probe_x[[member]], self._probe_y[[member]], [member])
        frozen[:] = before
        return probe

    def capture(self, members: Sequence[int] | None = None) -> Captured:
        """All that decides how the lives of `members` (default: all) go on; they may be named more than once."""
        rows = list(range(len(self)) if members is None else members)
        return {
            "scenario": repr(self.scenario),
            "episode": repr(self.settings),
            "population": snapshots.capture(self.population, rows),
            "seeds": [self.streams[member].seed for member in rows],
            "probe": [self._probe_x[rows], self._probe_y[rows]],
            **{name: torch.from_numpy(values[rows]) for name, values in self._arrays().items()},
        }

    def restore(self, captured: Captured) -> None:
        """Go on from a captured state.

        Raises:
            InvalidSnapshot: it is of another scenario or other settings, or of another number of learners.
        """
        for name, mine in (("scenario", self.scenario), ("episode", self.settings)):
            if captured.get(name) != repr(mine):
                raise InvalidSnapshot(
                    f"The snapshot's {name} is {captured.get(name)}; here it is {mine!r}. Load it where these agree."
                )
        snapshots.restore(self.population, captured["population"])
        self.streams = [self.scenario.stream(seed) for seed in captured["seeds"]]
        self._probe_x, self._probe_y = (t.clone() for t in captured["probe"])
        for name, values in self._arrays().items():
            values[:] = captured[name].numpy()

    def _arrays(self) -> dict[str, np.ndarray]:
        """All per-learner arrays [n, ...] by name."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        for part in ("ledger", "diagnosis"):
            arrays |= {f"{part}.{name}": values for name, values in vars(getattr(self, part)).items()}
        return arrays

    def _edit(self, plans: Mapping[int, Plan]) -> tuple[dict[int, Diagnosis], dict[int, Removal]]:
        """Carry out all edits as one transaction; return the diagnoses at birth of those with births, and what was
        removed of those that lost units."""
        edits = {member: plan.edit for member, plan in plans.items() if not plan.edit.empty}
        if not edits:
            return {}, {}
        members = list(edits)
        # the same probe as at the end of the latest step, which has been charged for
        probe = self.population.probe(self._probe_x[members], self._probe_y[members], members)
        # weights may have blown up in the very last update: such a learner has no future to edit
        edits = {member: edit for member, edit in edits.items() if not self.population.state.frozen[member]}
        for member, macs in self.population.edit(edits, probe).items():
            self.ledger.edits[member] += macs
            self.edited[member] = self.position[member]
        changed = [member for member, edit in edits.items() if edit.selects]
        if not changed:
            return {}, {}
        after = self._probe(changed)
        births = {member: _row(self.diagnosis, member) for member in changed if edits[member].births}
        lost = [member for member in changed if any(edits[member].prune) or any(edits[member].recycle)]
        return births, measure_removal(probe, after, lost) if lost else {}

    def _allowed(self, member: int, budget: int) -> int:
        """Updates until the budget, the stream, the task (if its end is for deciding) or the cap ends."""
        at = int(self.position[member])
        stop = self.streams[member].next_shift(at) if self.settings.boundaries == "decision" else self.updates
        allowed = min(budget, stop - at)
        if self.settings.compute_cap is not None:
            left = self.settings.compute_cap - int(self.ledger.total[member])
            allowed = min(allowed, -(-left // self._update_macs(member)))
        return max(1, allowed)

    def _train(self, plans: Mapping[int, Plan]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Train each member for its budget; those that are done drop out of the stack."""
        left = {member: self._allowed(member, plan.budget) for member, plan in plans.items()}
        parts: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {member: [] for member in plans}
        while left:
            for member in left:
                self._let_look(member, plans[member], parts[member])
            # frozen learners ride along unseen: matrix kernels may depend on how many are stacked,
            # and the others' results must not depend on somebody's divergence
            stack = [m for m in range(len(self)) if m in left or self.population.state.frozen[m]]
            k = min(*left.values(), *map(self._until_look, left), self._chunk(len(stack)))
            x, y = self._batches(stack, left, k)
            scores = self.population.train(x, y, stack)
            for column, member in enumerate(stack):
                if member not in left:
                    continue
                parts[member].append((scores.accuracy[:, column], scores.loss[:, column]))
                self.position[member] += k
                self.ledger.training[member] += k * self._update_macs(member)
                self._remember(member, x[:, column], y[:, column])
                left[member] -= k
                if left[member] == 0 or self.population.state.frozen[member]:
                    del left[member]
        return {member: _concatenate(part) for member, part in parts.items()}

    def _let_look(self, member: int, plan: Plan, parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
        if self._onlooker is not None and self.position[member] % self._look_every == 0:
            self._onlooker(member, plan, np.concatenate([np.zeros(0), *(accuracy for accuracy, _ in parts)]))

    def _until_look(self, member: int) -> int:
        """Updates until the onlooker is to see this learner again."""
        if self._onlooker is None:
            return self.updates
        return self._look_every - int(self.position[member]) % self._look_every

    def _batches(self, stack: Sequence[int], left: Mapping[int, int], k: int) -> tuple[Tensor, Tensor]:
        """The next k batches of all in `left`, zeros for the others: inputs [k, m, batch, inputs], and targets."""
        x = self._probe_x.new_zeros(k, len(stack), self.batch_size, self._probe_x.shape[-1])
        y = self._probe_y.new_zeros(k, len(stack), self.batch_size, *self._probe_y.shape[2:])
        for column, member in enumerate(stack):
            if member in left:
                at = int(self.position[member])
                x[:, column], y[:, column] = self.streams[member].batches(at, at + k)
        return x, y

    def _chunk(self, stacked: int) -> int:
        row = stacked * self.batch_size * self._probe_x.shape[-1] * self._probe_x.element_size()
        return max(1, min(CHUNK_UPDATES, CHUNK_BYTES // row))

    def _remember(self, member: int, x: Tensor, y: Tensor) -> None:
        """Let the latest samples be the probe batch: x [k, batch, inputs], y [k, batch, ...]."""
        size = self._probe_x.shape[1]
        kept = -(-size // self.batch_size)
        x, y = x[-kept:].flatten(0, 1), y[-kept:].flatten(0, 1)
        self._probe_x[member] = torch.cat([self._probe_x[member], x])[-size:]
        self._probe_y[member] = torch.cat([self._probe_y[member], y])[-size:]

    def _first_batches(self, stream: TaskStream) -> tuple[Tensor, Tensor]:
        """Enough batches from the stream's start to fill a probe; none of a task not yet begun, rather some twice."""
        wanted = -(-self._probe_x.shape[1] // self.batch_size)
        x, y = stream.batches(0, min(wanted, stream.next_shift(0)))
        again = -(-wanted // len(x))
        return torch.cat([x] * again), torch.cat([y] * again)

    def _probe(self, members: Sequence[int]) -> Probe:
        """Measure `members` on their probe batches, and charge them for it."""
        probe = self.population.probe(self._probe_x[members], self._probe_y[members], members)
        found = diagnose(probe, ranks=self.settings.ranks)
        for name, values in vars(found).items():
            getattr(self.diagnosis, name)[members] = values
        for member, points in measure_cohorts(probe).items():
            self._cohorts.setdefault(member, []).extend(points)
        for member in members:
            self.ledger.probes[member] += self._probe_x.shape[1] * self.population.training_macs(member)
        return probe

    def _measure_plasticity(self, probe: Probe) -> dict[int, float]:
        """By member, if it is to be measured."""
        if not self.settings.plasticity:
            return {}
        found = self.population.sample_plasticity(probe)
        for member in probe.members:
            network, widths = self.population.network, self.population.widths(member)
            self.ledger.probes[member] += probe.samples * forward_macs(network, widths)  # beyond the probe's own
        return dict(zip(probe.members, found.tolist(), strict=True))

    def _test(self, member: int) -> dict[int, float]:
        """Accuracy by task of what is to be tested now."""
        stream, found = self.streams[member], {}
        for task in tested_tasks(stream, int(self.position[member]), self.settings.tests):
            found[task], macs = test_accuracy(self.population, member, stream, task)
            self.ledger.tests[member] += macs
        return found

    def _note_shifts(self, members: Sequence[int]) -> None:
        for member in members:
            at = int(self.position[member])
            self.at_shift[member] = self.settings.boundaries == "decision" and self.streams[member].is_shift(at)

    def _update_macs(self, member: int) -> int:
        return self.batch_size * self.population.training_macs(member)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Let torch compute each operation with one thread: how sums are split up decides how they are rounded."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _newborns(edit: Edit, layers: int) -> tuple[int, ...]:
    return tuple(np.add(edit.counts("grow", layers), edit.counts("recycle", layers)).tolist())


def _concatenate(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    accuracy, loss = zip(*parts, strict=True)
    return np.concatenate(accuracy), np.concatenate(loss)


def _blank_diagnosis(n: int, layers: int) -> Diagnosis:
    blank = {f.name: np.zeros((n, layers)) for f in fields(Diagnosis)}
    return Diagnosis(**blank | {"loss": np.zeros(n), "comparable": np.zeros((n, layers), dtype=bool)})


def _row(diagnosis: Diagnosis, member: int) -> Diagnosis:
    return replace(diagnosis, **{name: values[member].copy() for name, values in vars(diagnosis).items()})
