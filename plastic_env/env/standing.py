"""Where learners stand in their lives: what happens to them is charged, noted and told by one set of rules, whoever
serves their batches.

`Lifetime` leads learners through their own streams; in Avalanche's strategies the plugin does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from plastic_env.env.episode import EpisodeSettings, Ledger, Outcome, Plan, Start
from plastic_env.errors import InvalidSetting
from plastic_env.learner.cohorts import CohortPoint
from plastic_env.learner.edits import Edit
from plastic_env.learner.population import Population
from plastic_env.learner.probing import Diagnosis, Probe, Removal, diagnose, measure_cohorts, measure_removal
from plastic_env.streams.stream import Signature


@dataclass
class Step:
    """What is known of one learner's step while it goes on.

    plan: what is carried out. start: the update at which it began. spent: multiply-accumulates before it.
    accuracy, loss: of its batches so far, in parts [k]. birth, removal, cohorts: as in `Outcome`.
    """

    plan: Plan
    start: int
    spent: int
    accuracy: list[np.ndarray] = field(default_factory=list)
    loss: list[np.ndarray] = field(default_factory=list)
    birth: Diagnosis | None = None
    removal: Removal | None = None
    cohorts: list[CohortPoint] = field(default_factory=list)


class Standing:
    """n learners, and where each stands in its life.

    A step is `open`, `edit` and `note_change`, any number of `note_training`, `note`, `close`, in this order.

    Args:
        signature: what learners take in and give out. updates, batch_size: of their streams.
        settings: how they live. n: how many they are.
        device, dtype, threads: as of `Population`.

    Raises:
        InvalidSetting: samples too few for batch normalisation.
    """

    ARRAYS = ("position", "last_edit", "accuracy", "accuracy_change", "loss", "at_shift", "over")  # [n] each

    def __init__(
        self,
        signature: Signature,
        updates: int,
        batch_size: int,
        settings: EpisodeSettings,
        n: int = 1,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> None:
        self.settings, self.updates, self.batch_size = settings, updates, batch_size
        self.population = Population(
            n,
            signature.inputs,
            signature.outputs,
            settings.learner,
            loss=signature.loss,
            device=device,
            dtype=dtype,
            threads=threads,
        )
        self.probe_samples = min(settings.probe_samples, updates * batch_size)
        if self.population.network.undefined(min(batch_size, self.probe_samples)):
            raise InvalidSetting(
                f"Batches hold {batch_size} sample(s) and probes {self.probe_samples}; batch normalisation needs at "
                "least 2 in each: choose others, or norm='layer'."
            )
        self.ledger = Ledger.of(n)
        self.position = np.zeros(n, dtype=np.int64)  # updates of the stream used up
        self.last_edit = np.zeros(n, dtype=np.int64)  # position of the latest edit
        self.accuracy = np.zeros(n)  # mean online accuracy of the latest step
        self.accuracy_change = np.zeros(n)  # against the step before
        self.loss = np.zeros(n)  # mean online loss of the latest step
        self.at_shift = np.zeros(n, dtype=bool)
        self.over = np.ones(n, dtype=bool)
        self.diagnosis = _blank_diagnosis(n, len(settings.learner.slots))
        self.steps: dict[int, Step] = {}  # that go on

    def __len__(self) -> int:
        return len(self.population)

    def begin_learners(
        self, rngs: Mapping[int, np.random.Generator], starts: Mapping[int, Start] | None = None
    ) -> dict[int, int]:
        """Draw new learners for the given members, at the start of their lives.

        starts: of those who are to begin otherwise than their settings and generators say.

        Returns:
            By member, the seed of its stream.

        Raises:
            InvalidSetting, InvalidEdit: no such learner, no generator, a start of a member who isn't to begin, or a
                mask that doesn't fit; nothing has changed.
        """
        starts = starts or {}
        if not set(starts) <= set(rngs):
            raise InvalidSetting(f"starts names {sorted(starts)}, but those who begin are {sorted(rngs)}.")
        masks = {member: start.live_slots for member, start in starts.items() if start.live_slots is not None}
        self.population.check_begin(rngs, masks)
        streams, learners = {}, {}
        for member, rng in rngs.items():
            streams[member], learner_seed = (int(seed) for seed in rng.integers(2**63, size=2))
            draw = starts[member].draw if member in starts else 0
            learners[member] = np.random.default_rng([learner_seed, draw] if draw else learner_seed)
            self.steps.pop(member, None)
        self.population.begin(learners, masks)
        for values in (*vars(self.ledger).values(), *(getattr(self, name) for name in self.ARRAYS)):
            values[list(rngs)] = 0
        return streams

    def open(self, plans: Mapping[int, Plan]) -> None:
        """Begin a step of each named member."""
        spent = self.ledger.total
        for member, plan in plans.items():
            self.steps[member] = Step(plan, int(self.position[member]), int(spent[member]))

    def edit(self, probe: Probe) -> list[int]:
        """Carry out the edits of the probed members' steps as one transaction.

        Weights may have blown up in the very last update: such a learner has no future to edit, and its step's plan
        becomes one without.

        Returns:
            Those whose units were selected: they are to be probed again, for `note_change`.
        """
        edits = {}
        for member in probe.members:
            step = self.steps[member]
            if self.population.state.frozen[member]:
                step.plan = replace(step.plan, edit=Edit())
            elif not step.plan.edit.empty:
                edits[member] = step.plan.edit
        for member, macs in self.population.edit(edits, probe).items():
            self.ledger.edits[member] += macs
            self.last_edit[member] = self.position[member]
        return [member for member, edit in edits.items() if edit.selects]

    def note_change(self, before: Probe, after: Probe) -> None:
        """Note what an edit did, by probes of the same samples around it; `after`: of those whom `edit` returned."""
        self.note(after)
        edits = {member: self.steps[member].plan.edit for member in after.members}
        for member, edit in edits.items():
            if edit.births:
                self.steps[member].birth = _row(self.diagnosis, member)
        lost = [member for member, edit in edits.items() if any(edit.prune) or any(edit.recycle)]
        for member, removal in (measure_removal(before, after, lost) if lost else {}).items():
            self.steps[member].removal = removal

    def note_training(self, member: int, accuracy: np.ndarray, loss: np.ndarray, samples: int) -> None:
        """Note that a learner has been trained on k batches of so many samples, with these scores [k] before each."""
        step = self.steps[member]
        step.accuracy.append(accuracy)
        step.loss.append(loss)
        self.position[member] += len(accuracy)
        self.ledger.training[member] += len(accuracy) * samples * self.population.training_macs(member)

    def note(self, probe: Probe) -> None:
        """Note what a probe shows, and charge for it."""
        for name, values in vars(diagnose(probe, ranks=self.settings.ranks)).items():
            getattr(self.diagnosis, name)[probe.members] = values
        for member, points in measure_cohorts(probe).items():
            if member in self.steps:
                self.steps[member].cohorts += points
        for member in probe.members:
            self.ledger.probes[member] += probe.samples * self.population.training_macs(member)

    @contextmanager
    def only_looking(self) -> Iterator[None]:
        """Let probes within freeze nobody, as they do with those whose loss is not finite."""
        frozen = self.population.state.frozen
        before = frozen.copy()
        try:
            yield
        finally:
            frozen[:] = before

    def close(
        self,
        member: int,
        *,
        weights: np.ndarray,
        shift: bool,
        plasticity: float | None = None,
        tests: Mapping[int, float] | None = None,
    ) -> Outcome:
        """End a step, and tell what came of it.

        weights: [k] of its batches, as in `Outcome`. shift: whether a new task is seen to start now.
        plasticity: as in `Outcome`. tests: accuracy by task.
        """
        step, tests = self.steps.pop(member), tests or {}
        accuracy, loss = np.concatenate(step.accuracy), np.concatenate(step.loss)
        finite = loss[np.isfinite(loss)]
        self.accuracy_change[member] = accuracy.mean() - self.accuracy[member]
        self.accuracy[member], self.loss[member] = accuracy.mean(), finite.mean() if finite.size else 0.0
        self.at_shift[member] = shift
        spent, cap = int(self.ledger.total[member]), self.settings.compute_cap
        diverged = bool(self.population.state.frozen[member])
        ended = diverged or bool(self.position[member] == self.updates)
        capped = cap is not None and spent >= cap
        self.over[member] = ended or capped
        return Outcome(
            plan=step.plan,
            start=step.start,
            stop=int(self.position[member]),
            accuracy=accuracy,
            loss=loss,
            live=self.population.live(member),
            newborns=_newborns(step.plan.edit, len(self.population.capacity)),
            birth=step.birth,
            end=_row(self.diagnosis, member),
            removal=step.removal,
            plasticity=plasticity,
            tests=tuple(tests.values()),
            tested=tuple(tests),
            cohorts=tuple(step.cohorts),
            macs=spent - step.spent,
            weights=weights,
            stream_updates=self.updates,
            shift=shift,
            diverged=diverged,
            terminated=ended,
            truncated=capped and not ended,
        )


def _newborns(edit: Edit, layers: int) -> tuple[int, ...]:
    return tuple(np.add(edit.counts("grow", layers), edit.counts("recycle", layers)).tolist())


def _blank_diagnosis(n: int, layers: int) -> Diagnosis:
    blank = {f.name: np.zeros((n, layers)) for f in fields(Diagnosis)}
    return Diagnosis(**blank | {"loss": np.zeros(n), "comparable": np.zeros((n, layers), dtype=bool)})


def _row(diagnosis: Diagnosis, member: int) -> Diagnosis:
    return replace(diagnosis, **{name: values[member].copy() for name, values in vars(diagnosis).items()})
