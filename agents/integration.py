"""How long newborns are left alone: schedules of growth that differ in nothing but when the next cohort comes.

All grow from the starting width to the same final one in equal cohorts, with the same operator, or, with `recycle`,
replace the least useful units at constant width. They look at the learner every few updates, so that all pay alike for
looking, and decide from what they see whether another cohort is due. Those that speak of shifts need
boundaries="decision", and a shift for every cohort; the others work without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plastic_env.agents.structural import TARGET, WithNewborns, check_until
from plastic_env.env.encoding import Action, EpisodeSpec, Observation, global_field, layer_field
from plastic_env.errors import InvalidSetting, check_positive, check_share, check_whole, is_finite, is_whole
from plastic_env.learner.diagnostics import LOG_PARITY_LIMIT


@dataclass
class Schedule(WithNewborns):
    """Base: brings a cohort whenever it is due, until all have come.

    events: how many cohorts. look: updates between looks. target: fraction of the slots that is live after the last
        cohort. recycle: replace units instead: `fraction` of the live ones in each event.
    grow_rule: which dormant units grow. recycle_rule: which live ones are replaced.

    Raises:
        InvalidSetting: no whole numbers of at least 1; fractions outside of [0, 1].
    """

    events: int = 10
    look: int = 25
    target: float = TARGET
    recycle: bool = False
    fraction: float = 0.125
    grow_rule: str = "activation"
    recycle_rule: str = "utility"

    def __post_init__(self) -> None:
        check_whole("events", self.events)
        check_whole("look", self.look)
        check_share("target", self.target)
        check_share("fraction", self.fraction)

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Nothing has come yet."""
        super().reset(episode, seed)
        self.done = 0
        self.last = 0  # update of the latest cohort
        self.shifts: list[int] = []  # updates at which tasks have started

    def act(self, observation: Observation, info: dict[str, Any]) -> Action:
        """Look, bring the next cohort if it is due, and train to the next look."""
        now = info["updates"]
        if info["shift"]:
            self.shifts.append(now)
        wanted: dict[str, Any] = {}
        if self.done < self.events and self.due(observation, info):
            wanted = self._replace(info) if self.recycle else self._grow(info)
            self.done, self.last = self.done + 1, now
        return self.episode.action(budget=self.budget(now), **wanted)

    def budget(self, now: int) -> int:
        """Updates to the next look."""
        return min(self.look, self.episode.max_budget)

    def due(self, observation: Observation, info: dict[str, Any]) -> bool:
        """Whether the next cohort is to come now."""
        return True

    def _grow(self, info: dict[str, Any]) -> dict[str, Any]:
        first, slots = np.array(self.episode.live), np.array(self.episode.capacity)
        final = np.maximum(first, np.round(self.target * slots))
        width = np.round(first + (final - first) * (self.done + 1) / self.events).astype(np.int64)
        return {"grow": np.maximum(0, width - info["live"]), "grow_rule": self.grow_rule, **self.entering}

    def _replace(self, info: dict[str, Any]) -> dict[str, Any]:
        counts = np.maximum(1, np.round(self.fraction * info["live"])).astype(np.int64)
        return {"recycle": counts, "recycle_rule": self.recycle_rule, **self.entering}


@dataclass
class Within(Schedule):
    """Base of those that are to have brought all cohorts by a given time.

    until: the part of the stream by whose end all cohorts have come, unless a gate has a longer `patience` of its
        own.

    Raises:
        InvalidSetting: as `Schedule`; a part outside of (0, 1].
    """

    until: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_until(self.until)

    @property
    def horizon(self) -> float:
        """The update by which all cohorts have come."""
        return self.until * self.episode.updates


@dataclass
class Every(Within):
    """At equal distances, whatever the learner does (arXiv 2605.15435, its stress test of 5, 10 and 20 events in the
    same horizon)."""

    def due(self, observation: Observation, info: dict[str, Any]) -> bool:
        """In the middle of each of `events` equal stretches."""
        return bool(info["updates"] >= (self.done + 0.5) * self.horizon / self.events)


@dataclass
class At(Schedule):
    """At given moments, whatever the learner does: what a gated schedule did on average, say, so as to tell what it
    gains by responding from what it gains by its timing.

    moments: updates, ascending; as many cohorts come. A moment at which nobody is asked waits for the next decision.

    Raises:
        InvalidSetting: as `Schedule`; moments that are no such tuple.
    """

    moments: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        moments = self.moments if isinstance(self.moments, (tuple, list)) else (None,)
        if not all(is_whole(moment) for moment in moments) or list(moments) != sorted(moments):
            raise InvalidSetting(
                f"moments is {self.moments!r}; give a tuple of updates, ascending, such as (100, 250)."
            )

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """There are as many cohorts as moments."""
        super().reset(episode, seed)
        self.events = len(self.moments)

    def due(self, observation: Observation, info: dict[str, Any]) -> bool:
        """Once the next moment has come."""
        return bool(info["updates"] >= self.moments[self.done])


@dataclass
class Timed(Schedule):
    """Base of those that bring one cohort per task, at a moment that follows from the shifts so far."""

    def due(self, observation: Observation, info: dict[str, Any]) -> bool:
        """Once the moment has come."""
        return bool(self.shifts) and self.last < self.moment() <= info["updates"]

    def budget(self, now: int) -> int:
        """To the next look or the moment itself, whichever comes first."""
        left = self.moment() - now if self.shifts else 0
        return min(super().budget(now), left) if left > 0 else super().budget(now)

    def moment(self) -> int:
        """The update at which this task's cohort is to come; there has been a shift."""
        raise NotImplementedError

    @property
    def task_length(self) -> int:
        """Updates of the latest task that has ended: the present one is expected to take as long."""
        return self.shifts[-1] - [0, *self.shifts][-2]


@dataclass
class AfterShift(Timed):
    """At a fixed delay after shifts: newborns meet the task early and have all of it."""

    delay: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("delay", self.delay, 0)

    def moment(self) -> int:
        """`delay` updates after the latest shift."""
        return self.shifts[-1] + self.delay


@dataclass
class BeforeShift(Timed):
    """At a fixed lead before shifts: newborns get the last of a task and meet the next one young."""

    lead: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("lead", self.lead, 0)

    def moment(self) -> int:
        """`lead` updates before the expected shift."""
        return self.shifts[-1] + max(1, self.task_length - self.lead)


@dataclass
class AwayFromShifts(Timed):
    """In the middle of tasks: as far from both shifts as can be."""

    def moment(self) -> int:
        """Half of the expected length after the latest shift."""
        return self.shifts[-1] + max(1, self.task_length // 2)


@dataclass
class Gated(Within):
    """Base of those that watch the latest cohort: the next one comes when it is ready, or when `patience` updates have
    passed without that. The first comes when `Every` would bring it.

    smoothing: weight of the past in the running mean of what is watched. patience: None for a fair share of the
        horizon, so that all cohorts come by its end.

    Raises:
        InvalidSetting: as `Within`; a weight outside of [0, 1], no whole number of updates of at least 1.
    """

    smoothing: float = 0.5
    patience: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("smoothing", self.smoothing)
        if self.patience is not None and not is_whole(self.patience, 1):
            raise InvalidSetting(f"patience is {self.patience!r}; give a whole number of at least 1, or None.")

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Nothing has been seen yet."""
        super().reset(episode, seed)
        self.smooth: float | None = None

    def due(self, observation: Observation, info: dict[str, Any]) -> bool:
        """When the latest cohort is ready or has had its time."""
        age, share = info["updates"] - self.last, self.horizon / self.events
        if self.done == 0:
            return bool(age >= share / 2)
        if age == 0:
            return False
        seen = self.watch(observation, info)
        old = self.smooth
        self.smooth = seen if old is None else self.smoothing * old + (1 - self.smoothing) * seen
        deadline = share if self.patience is None else self.patience
        if age < deadline and not self.ready(self.smooth, age):
            return False
        self.came(self.smooth, age)
        self.smooth = None
        return True

    def watch(self, observation: Observation, info: dict[str, Any]) -> float:
        """What is watched, averaged over layers."""
        raise NotImplementedError

    def ready(self, smooth: float, age: int) -> bool:
        """Whether the latest cohort, of this age, has been left alone for long enough."""
        raise NotImplementedError

    def came(self, smooth: float, age: int) -> None:
        """The next cohort comes."""


@dataclass
class ParityGated(Gated):
    """The next cohort comes when the smoothed gradient parity of the latest one has reached `theta`."""

    theta: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("theta", self.theta)

    def watch(self, observation: Observation, info: dict[str, Any]) -> float:
        """Log gradient parity."""
        return _newborns(observation, "log_gradient_parity")

    def ready(self, smooth: float, age: int) -> bool:
        """Parity is reached."""
        return smooth >= np.log(self.theta)


@dataclass
class UtilityGated(Gated):
    """The next cohort comes when the latest one's mean contribution has reached the incumbents' median."""

    def watch(self, observation: Observation, info: dict[str, Any]) -> float:
        """Log utility parity."""
        return _newborns(observation, "log_utility_parity")

    def ready(self, smooth: float, age: int) -> bool:
        """Newborns are as useful as the incumbent in the middle."""
        return smooth >= 0


@dataclass
class PlateauGated(Gated):
    """The next cohort comes when the online accuracy has stopped rising: its smoothed value is at most `margin` above
    the best since the latest cohort, for `looks` looks in a row."""

    margin: float = 0.005
    looks: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("looks", self.looks)
        if not is_finite(self.margin):
            raise InvalidSetting(f"margin is {self.margin!r}; give a number.")

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """No accuracy has been reached yet."""
        super().reset(episode, seed)
        self.best, self.flat = 0.0, 0

    def watch(self, observation: Observation, info: dict[str, Any]) -> float:
        """Mean online accuracy since the latest look."""
        return global_field(observation, "accuracy")

    def ready(self, smooth: float, age: int) -> bool:
        """Nothing has been gained for a while."""
        self.flat = 0 if smooth > self.best + self.margin else self.flat + 1
        self.best = max(self.best, smooth)
        return self.flat >= self.looks

    def came(self, smooth: float, age: int) -> None:
        """Begin anew."""
        self.best, self.flat = 0.0, 0


@dataclass
class Hazard(Gated):
    """Waits until a cohort of this age has integrated with a chance of at least `p`, by what was seen of those before.

    A cohort has integrated at the last look at which its smoothed gradient parity was below `theta`: falling back
    counts, since newborns are often born above it and fall behind later. Those that are still below when the next one
    comes are censored; the chance is the Kaplan-Meier estimate. Until `enough` cohorts have been seen, they wait out
    their patience.
    """

    p: float = 0.5
    theta: float = 0.5
    enough: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("p", self.p)
        check_positive("theta", self.theta)
        check_whole("enough", self.enough, 0)

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """No cohort has been seen yet."""
        super().reset(episode, seed)
        self.below = 0  # age at which the latest cohort was last seen below parity
        self.times: list[tuple[int, bool]] = []  # of earlier ones, and whether they had integrated

    def watch(self, observation: Observation, info: dict[str, Any]) -> float:
        """Log gradient parity."""
        return _newborns(observation, "log_gradient_parity")

    def ready(self, smooth: float, age: int) -> bool:
        """Most cohorts have integrated by this age."""
        if smooth < np.log(self.theta):
            self.below = age
        return len(self.times) >= self.enough and integrated_by(age, self.times) >= self.p

    def came(self, smooth: float, age: int) -> None:
        """Remember what became of the cohort."""
        behind = smooth < np.log(self.theta)
        self.times.append((age if behind else self.below, not behind))
        self.below = 0


def integrated_by(age: int, times: list[tuple[int, bool]]) -> float:
    """The chance to have integrated by an age, from (time, whether integrated then or only not seen to by then): 1 less
    the Kaplan-Meier estimate of survival."""
    waiting = 1.0
    for time in sorted({time for time, done in times if done and time <= age}):
        at_risk = sum(other >= time for other, _ in times)
        events = sum(done and other == time for other, done in times)
        waiting *= 1 - events / at_risk
    return 1 - waiting


def _newborns(observation: Observation, name: str) -> float:
    """A log-parity of the newest cohort, averaged over the layers that have one beside older units; 0 if none has."""
    comparable = layer_field(observation, "comparable") > 0
    values = layer_field(observation, name)[comparable] * LOG_PARITY_LIMIT
    return float(values.mean()) if comparable.any() else 0.0
