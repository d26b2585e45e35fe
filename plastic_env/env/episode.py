"""What an episode is made of: settings, plans, the ledger, outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from plastic_env.env.evaluation import TESTS
from plastic_env.errors import InvalidSetting, check_whole, is_whole, look_up
from plastic_env.learner.cohorts import CohortPoint
from plastic_env.learner.edits import Edit
from plastic_env.learner.probing import Diagnosis, Removal
from plastic_env.learner.settings import LearnerSettings

BOUNDARIES = {
    "decision": "a step ends at every shift, and the agent decides there",
    "hidden": "steps run across shifts, and nothing tells of them",
}


@dataclass(frozen=True)
class EpisodeSettings:
    """How learners live.

    learner: the learner's settings.
    boundaries: "decision" or "hidden" (see `BOUNDARIES`).
    max_budget: the most updates that one plan may train.
    probe_samples: size of the probe batch: the samples trained on last or, before the first update,
        the first of the stream. It never holds samples of a task not yet begun.
    ranks: whether to measure the features' ranks at each decision: half of a decision's time with small networks. They
        read 0 if not.
    plasticity: whether to measure, at the end of every step, how much one update on the probe batch would teach.
    tests: what is tested at the end of each task that a step ends with (see `TESTS`). Agents don't see it, nor are they
        charged for it.
    compute_cap: multiply-accumulates after which an episode is truncated, or None.

    Raises:
        InvalidSetting, UnknownName: values outside of these.
    """

    learner: LearnerSettings = field(default_factory=LearnerSettings)
    boundaries: str = "decision"
    max_budget: int = 1000
    probe_samples: int = 64
    ranks: bool = True
    plasticity: bool = False
    tests: str = "none"
    compute_cap: int | None = None

    def __post_init__(self) -> None:
        look_up(BOUNDARIES, self.boundaries, "kind of boundaries")
        look_up(TESTS, self.tests, "kind of tests")
        if not isinstance(self.learner, LearnerSettings):
            raise InvalidSetting(f"learner is {self.learner!r}; give plastic_env.LearnerSettings(...).")
        for name in ("ranks", "plasticity"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidSetting(f"{name} is {getattr(self, name)!r}; give True or False.")
        for name in ("max_budget", "probe_samples", "compute_cap"):
            value = getattr(self, name)
            if value is not None or name != "compute_cap":
                check_whole(name, value)


@dataclass(frozen=True)
class Start:
    """How one learner begins, where that isn't left to its settings and its seed. Its stream is its seed's anyway.

    live_slots: which slots of each editable layer are live (a mask), in any order; None: as many of the first as the
        settings say.
    draw: which draw of initial weights and of all later chance: 0 for the one that its seed gives, other numbers for
        others.

    Raises:
        InvalidSetting: something else than whole numbers. Whether a mask fits a learner shows when that begins.
    """

    live_slots: tuple[tuple[int, ...], ...] | None = None
    draw: int = 0

    def __post_init__(self) -> None:
        check_whole("draw", self.draw, 0)
        if self.live_slots is not None:
            object.__setattr__(self, "live_slots", _plain_slots(self.live_slots))


@dataclass(frozen=True)
class Plan:
    """What an agent asks for in one step.

    edit: what is done first. budget: updates to train before it decides again, from 1 to `EpisodeSettings.max_budget`.
    """

    edit: Edit = field(default_factory=Edit)
    budget: int = 1


@dataclass
class Ledger:
    """Multiply-accumulates of n learners, [n] int64 each, at live width.

    training, probes, edits: forward and backward passes of training, of probes, and of what scores units for edits.
    tests: those of tests are the researcher's, not the learner's. They are counted, but not part of `total`,
        since an agent could read from its charges that a task has ended.
    """

    training: np.ndarray
    probes: np.ndarray
    edits: np.ndarray
    tests: np.ndarray

    @staticmethod
    def of(n: int) -> Ledger:
        """All zero, for n learners."""
        return Ledger(*(np.zeros(n, dtype=np.int64) for _ in fields(Ledger)))

    @property
    def total(self) -> np.ndarray:
        """[n] all that is charged."""
        return self.training + self.probes + self.edits


@dataclass(frozen=True)
class Outcome:
    """What happened to one learner in one step.

    plan: what was carried out, which is what was asked for as far as that was possible.
    start, stop: the updates it covered, start <= u < stop. stream_updates: of the whole stream.
    accuracy, loss: [stop - start] each batch's before it was trained on.
    live: live units per editable layer.
    newborns: units born at this step's edit, per editable layer.
    birth, end: this learner's diagnosis (arrays [layers]) right after births, if any, and after training.
    removal: what the edit removed and what that did to the survivors, if it removed anything.
    plasticity: sample plasticity at the end, if it is measured (`EpisodeSettings.plasticity`).
    tests: accuracy on the test samples of the tasks named in `tested`; NaN for tasks that have none.
    tested: the tasks that were tested at the end of the step (see `EpisodeSettings.tests`).
    cohorts: all live cohorts with older units beside them, right after an edit of units, if any, and after training.
    weights: [stop - start] what each batch counts for the stream's score; over the whole stream they add up to 1.
    macs: multiply-accumulates of the step.
    shift: whether it ended at a task boundary; always False when boundaries are hidden.
    diverged: whether training blew up. terminated: whether the life is over: the stream is used up, or the learner has
        diverged. truncated: whether the compute cap has ended it.
    """

    plan: Plan
    start: int
    stop: int
    accuracy: np.ndarray
    loss: np.ndarray
    live: tuple[int, ...]
    newborns: tuple[int, ...]
    birth: Diagnosis | None
    end: Diagnosis
    removal: Removal | None
    plasticity: float | None
    tests: tuple[float, ...]
    tested: tuple[int, ...]
    cohorts: tuple[CohortPoint, ...]
    macs: int
    weights: np.ndarray
    stream_updates: int
    shift: bool
    diverged: bool
    terminated: bool
    truncated: bool


def _plain_slots(layers: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Equal masks in one form."""
    try:
        lists = [list(slots) for slots in layers]
    except TypeError:
        lists = None
    if lists is None or not all(is_whole(slot) for slots in lists for slot in slots):
        raise InvalidSetting(f"live_slots is {layers!r}; give one sequence of whole numbers for each editable layer.")
    return tuple(tuple(sorted(map(int, slots))) for slots in lists)
