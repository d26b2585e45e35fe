"""Methods by name: an agent and the learner it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from plastic_env.agents.base import Agent
from plastic_env.agents.structural import Dense, DenseRewind, Grow, Prune, Recycle, Reset
from plastic_env.learner.settings import LearnerSettings


@dataclass(frozen=True)
class Method:
    """An agent plus the learner settings it needs.

    summary: one line. make: a new agent. learner: the learner that it edits.
    """

    summary: str
    make: Callable[[], Agent]
    learner: LearnerSettings = field(default_factory=LearnerSettings)


_SMALL = LearnerSettings(live=0.1)

METHODS: dict[str, Method] = {
    "dense": Method("all units, no edit", Dense),
    "reset": Method("everything drawn anew at each shift", Reset),
    "grow": Method("from 10 % of the units to half of them, in 20 events", Grow, _SMALL),
    "grow_integrate": Method(
        "the same growth in 5 larger events, with more time to integrate", lambda: Grow(events=5), _SMALL
    ),
    "grow_smooth_leaky": Method(
        "grow, with the smooth-leaky activation",
        Grow,
        LearnerSettings(live=0.1, activation="smooth_leaky"),
    ),
    "prune": Method("magnitude pruning to half of the units, rewinding the rest", Prune),
    "prune_no_rewind": Method("the same pruning without rewinding", lambda: Prune(rewind=False)),
    "dense_rewind": Method("all units, rewound when prune rewinds", DenseRewind),
    "recycle": Method("the weakest eighth by contribution utility replaced at each shift", Recycle),
}
