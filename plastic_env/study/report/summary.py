"""The numbers of one method over all seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plastic_env.study.measures import online_accuracy
from plastic_env.study.results import Result
from plastic_env.study.stats import (
    Interval,
    average_online_accuracy,
    fifths,
    iqm_interval,
    loss_of_plasticity,
    mean_interval,
    slopes,
)


@dataclass(frozen=True)
class Summary:
    """One method over all seeds.

    taoa: mean online accuracy over the tasks that are scored. first_fifth, last_fifth: over the first and the last
        fifth of all updates.
    test: mean accuracy over the tests at the end of the stream, or None unless every run was tested there.
    final_width: live units per editable layer at the end, averaged over layers and seeds.
    dormant: fraction of live units that are dormant by ReDo's score at the end, averaged over the seeds that did
        not diverge; NaN if all did.
    macs: multiply-accumulates of one learner's life, averaged over seeds. diverged: how many learners did.
    """

    taoa: Interval
    test: Interval | None
    first_fifth: Interval
    last_fifth: Interval
    final_width: float
    dormant: float
    macs: float
    diverged: int


def summarise(results: Sequence[Result]) -> Summary:
    """Summarise one method's runs."""
    accuracy = online_accuracy(results)  # [seeds, updates]
    first, last = fifths(accuracy)
    live = np.stack([result.last("live") for result in results])  # [seeds, layers]
    dormant = np.stack([result.last("dormant") for result in results])
    tests = np.array([result.test_accuracy() for result in results])
    sound = np.array([not result.last("diverged") for result in results])  # nothing is measured of the others
    shares = ((dormant * live).sum(1) / live.sum(1))[sound]
    return Summary(
        taoa=mean_interval(np.array([result.taoa() for result in results])),
        test=None if np.isnan(tests).any() else mean_interval(tests),
        first_fifth=mean_interval(first),
        last_fifth=mean_interval(last),
        final_width=float(live.mean()),
        dormant=float(shares.mean()) if shares.size else float("nan"),
        macs=float(np.mean([result.macs() for result in results])),
        diverged=sum(bool(result.last("diverged")) for result in results),
    )


@dataclass(frozen=True)
class Details:
    """What a report tells of one method besides its summary.

    iqm: interquartile mean of TAOA over seeds. loss: how much lower accuracy is in the last fifth of all updates than
        in the first. slope: of average online accuracy, per task; None where there is only one.
    """

    iqm: Interval
    loss: Interval
    slope: Interval | None


def details(results: Sequence[Result]) -> Details:
    """More of one method's runs."""
    accuracy = online_accuracy(results)  # [seeds, updates]
    runs = zip(accuracy, results, strict=True)
    by_task = [average_online_accuracy(values, result.task_ends) for values, result in runs]  # of each seed [tasks]
    several = all(len(tasks) > 1 for tasks in by_task)
    return Details(
        iqm=iqm_interval(np.array([result.taoa() for result in results])),
        loss=mean_interval(loss_of_plasticity(accuracy)),
        slope=mean_interval(np.array([slopes(tasks) for tasks in by_task])) if several else None,
    )
