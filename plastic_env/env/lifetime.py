"""The rules of an episode: n learners, each living through its own task stream.

Knows nothing of Gymnasium; the single and the vector environment and the study runner all use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from plastic_env.env.episode import EpisodeSettings, Outcome, Plan, Start
from plastic_env.env.evaluation import test_accuracy, tested_tasks
from plastic_env.env.standing import Standing
from plastic_env.errors import InvalidEdit, InvalidSetting, InvalidSnapshot, check_whole, is_whole
from plastic_env.learner import snapshots
from plastic_env.learner.compute import forward_macs
from plastic_env.learner.edits import check_edit
from plastic_env.learner.probing import Probe
from plastic_env.learner.snapshots import Captured
from plastic_env.streams.stream import Scenario, TaskStream

CHUNK_BYTES = 64 * 2**20  # inputs laid out at a time
CHUNK_UPDATES = 64
Onlooker = Callable[[int, Plan, np.ndarray], None]


class Lifetime(Standing):
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
        example = scenario.stream(0)
        super().__init__(
            example.signature,
            example.updates,
            example.batch_size,
            settings,
            n,
            device=device,
            dtype=dtype,
            threads=threads,
        )
        self.scenario = scenario
        self.streams: list[TaskStream] = [example] * n
        self._probe_x = torch.zeros(n, self.probe_samples, example.signature.features)
        self._probe_y = example.signature.targets(n, self.probe_samples)
        self._onlooker: Onlooker | None = None
        self._look_every = 1

    def begin(self, rngs: Mapping[int, np.random.Generator], starts: Mapping[int, Start] | None = None) -> None:
        """Start new episodes for the given members; each generator decides its learner and its stream.

        starts: of those members whose learners are to begin otherwise than their settings and generators say.

        Raises:
            InvalidSetting, InvalidEdit: no such learner, no generator, a start of a member who isn't to begin, or a
                mask that doesn't fit; nothing has changed.
        """
        with _one_torch_thread():
            for member, seed in self.begin_learners(rngs, starts).items():
                self.streams[member] = self.scenario.stream(seed)
                self._remember(member, *self._first_batches(self.streams[member]))
            self.probe(list(rngs))

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
        self.open(plans)
        self._edit([member for member, plan in plans.items() if not plan.edit.empty])
        self._train({member: plan.budget for member, plan in plans.items()})
        plasticity = self._measure_plasticity(self.probe(list(plans)))
        outcomes = {}
        for member in plans:
            stream, stop = self.streams[member], int(self.position[member])
            outcomes[member] = self.close(
                member,
                weights=stream.weights(self.steps[member].start, stop),
                shift=self.settings.boundaries == "decision" and stream.is_shift(stop),
                plasticity=plasticity.get(member),
                tests=self._test(member),
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
        check_whole("every", every)
        self._onlooker, self._look_every = onlooker, int(every)

    def glance(self, member: int) -> Probe:
        """What a probe of one learner shows now. Nobody is charged for it, and nothing changes."""
        with _one_torch_thread(), self.only_looking():
            return self._look([member])

    def probe(self, members: Sequence[int]) -> Probe:
        """Measure `members` on the samples they were trained on last, charge them for it, and note what it shows."""
        with _one_torch_thread():
            probe = self._look(members)
            self.note(probe)
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
        arrays = {name: getattr(self, name) for name in self.ARRAYS}
        for part in ("ledger", "diagnosis"):
            arrays |= {f"{part}.{name}": values for name, values in vars(getattr(self, part)).items()}
        return arrays

    def _look(self, members: Sequence[int]) -> Probe:
        return self.population.probe(self._probe_x[members], self._probe_y[members], members)

    def _edit(self, members: Sequence[int]) -> None:
        """Carry out all edits as one transaction, and look at what they did."""
        if not members:
            return
        before = self._look(members)  # the same as at the end of the latest step, which has been charged for
        changed = self.edit(before)
        if changed:
            self.note_change(before, self._look(changed))

    def _allowed(self, member: int, budget: int) -> int:
        """Updates until the budget, the stream, the task (if its end is for deciding) or the cap ends."""
        at = int(self.position[member])
        stop = self.streams[member].next_shift(at) if self.settings.boundaries == "decision" else self.updates
        allowed = min(budget, stop - at)
        if self.settings.compute_cap is not None:
            left = self.settings.compute_cap - int(self.ledger.total[member])
            allowed = min(allowed, -(-left // self._update_macs(member)))
        return max(1, allowed)

    def _train(self, budgets: Mapping[int, int]) -> None:
        """Train each member for its budget; those that are done drop out of the stack."""
        left = {member: self._allowed(member, budget) for member, budget in budgets.items()}
        while left:
            for member in left:
                self._let_look(member)
            # frozen learners ride along unseen: matrix kernels may depend on how many are stacked,
            # and the others' results must not depend on somebody's divergence
            stack = [m for m in range(len(self)) if m in left or self.population.state.frozen[m]]
            k = min(*left.values(), *map(self._until_look, left), self._chunk(len(stack)))
            x, y = self._batches(stack, left, k)
            scores = self.population.train(x, y, stack)
            for column, member in enumerate(stack):
                if member not in left:
                    continue
                self.note_training(member, scores.accuracy[:, column], scores.loss[:, column], self.batch_size)
                self._remember(member, x[:, column], y[:, column])
                left[member] -= k
                if left[member] == 0 or self.population.state.frozen[member]:
                    del left[member]

    def _let_look(self, member: int) -> None:
        if self._onlooker is not None and self.position[member] % self._look_every == 0:
            step = self.steps[member]
            self._onlooker(member, step.plan, np.concatenate([np.zeros(0), *step.accuracy]))

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
