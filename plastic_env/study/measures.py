"""Numbers and curves of a method's results, for pictures, tables and claims: arrays out of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from plastic_env.errors import InvalidSetting, look_up
from plastic_env.learner.cohorts import CohortPoint
from plastic_env.study import stats
from plastic_env.study.plots import Band, Curves, CycleTicket, EarlyLate, Geometry, River, Scores, Spending, Survival
from plastic_env.study.results import ByMethod, ByScenario, Result
from plastic_env.study.stats import Interval, acc, mean_bands, mean_interval, paired_difference, taa

STRETCHES = 50  # that the updates are cut into where tasks can't be compared
POINTS = 40  # most, of accuracy within a task
AGES = 24  # most, that parity is shown at
GROUPS = 10  # of births
PARITIES = {"activation": 3, "gradient": 4}  # columns of `_table`


@dataclass(frozen=True)
class TimesToIntegrate:
    """Censored survival data of one method, one entry per cohort and layer; arrays of equal length.

    time: updates from birth until integration or, where `observed` is False, until the cohort was last seen.
    learner: which of the results it is from: cohorts of one learner are not independent of each other.
    """

    time: np.ndarray
    observed: np.ndarray
    layer: np.ndarray
    learner: np.ndarray


def online_accuracy(results: Sequence[Result]) -> np.ndarray:
    """[seeds, updates] accuracy of each batch before it was trained on (see `Result.online_accuracy`)."""
    return np.stack([result.online_accuracy() for result in results])


def curves(results: Sequence[Result]) -> Curves:
    """What is drawn of one method's runs: task by task, or, if their shifts differ, in equal stretches."""
    alike, updates = _alike(results), results[0].settings["updates"]
    stretches = np.linspace(0, updates, min(STRETCHES, updates) + 1)[1:].astype(int)
    ends = np.array(results[0].task_ends) if alike else stretches
    starts = np.concatenate([[0], ends[:-1]])
    return Curves(
        task_ends=ends,
        accuracy=np.add.reduceat(online_accuracy(results), starts, axis=1) / (ends - starts),
        width=np.stack([_at(ends, result, [np.mean(live) for live in result.rows["live"]]) for result in results]),
        parity=np.stack([_at(ends, result, _parities(result)) for result in results]),
        edits=np.unique(np.concatenate([_edits(result) for result in results])),
        by_task=alike,
    )


def since_shift(results: Sequence[Result]) -> Band:
    """Online accuracy by updates since a task began: mean over all scored tasks and over seeds, with a band over seeds.

    Long tasks are cut into at most `POINTS` stretches. Where tasks differ in length, those that last so long count.
    """
    return _within(results, slice(None))


def early_late(results: Sequence[Result]) -> EarlyLate:
    """`since_shift` of the first and of the last fifth of the scored tasks."""
    fifth = max(1, min(len(_scored_tasks(result)) for result in results) // 5)
    return EarlyLate(_within(results, slice(fifth)), _within(results, slice(-fifth, None)))


def river(results: Sequence[Result], groups: int = GROUPS) -> River:
    """Live units of all editable layers by when they were born, averaged over the learners that still live.

    groups: equal stretches of the stream; units born within one are counted together. Founders stand apart. Units that
        a reset drew anew are born then. Counts stand from an edit until the next; what maintenance replaces
        during a step counts from that step's start.

    Raises:
        InvalidSetting: `groups` is below 1.
    """
    if groups < 1:
        raise InvalidSetting(f"groups is {groups!r}; give a whole number of at least 1.")
    *shifts, updates = results[0].task_ends
    edges = np.linspace(0, updates, groups + 1)
    starts = np.unique(np.concatenate([result.rows["start"] for result in results]))
    live = np.stack([_composition(result, edges)[:, _step_at(result, starts)] for result in results])
    counted = np.isfinite(live).sum(0)  # [groups + 1, points] learners
    mean = np.where(counted > 0, np.nansum(live, 0) / np.maximum(counted, 1), np.nan)
    return River(starts, updates, edges, mean, np.array(shifts if _alike(results) else [], dtype=np.int64))


def parity_by_age(results: Sequence[Result], of: str = "gradient") -> Band:
    """Log-parity by age of the cohort: median and quartiles over cohorts, layers and seeds.

    of: "activation" or "gradient". Birth stands alone; if there are more than `AGES` ages, neighbours are counted
    together, about equally many. Only cohorts that still live at an age count there.

    Raises:
        UnknownName: parity of something else.
    """
    column = look_up(PARITIES, of, "parity")
    table = np.concatenate([_table(result) for result in results])
    age, parity = table[:, 2].astype(np.int64), table[:, column]
    age, parity = age[np.isfinite(parity)], parity[np.isfinite(parity)]
    group = _group_ages(age)
    parts = [np.flatnonzero(group == number) for number in np.unique(group)]
    quarters = np.array([np.quantile(parity[part], [0.25, 0.5, 0.75]) for part in parts]).reshape(-1, 3)
    low, middle, high = quarters.T
    return Band(np.array([np.median(age[part]) for part in parts]), middle, low, high)


def geometry(results: Sequence[Result], until: int | None = None) -> Geometry:
    """Both log-parities of each cohort, layer and seed when it was first seen, at birth, and when it was last seen.

    until: look no further than this age in updates, such as the length of an edit cycle; None: to the cohort's end.
    """
    pairs = [np.zeros((0, 2, 2))]
    for result in results:
        table = _table(result)
        kept = table if until is None else table[table[:, 2] <= until]
        first = np.append(True, (np.diff(kept[:, :2], axis=0) != 0).any(1))[: len(kept)]
        last = np.append(first[1:], True)[: len(kept)]
        pairs.append(np.stack([kept[first, 3:], kept[last, 3:]], 1))  # [cohorts, birth and end, both parities]
    (birth_activation, birth_gradient), (end_activation, end_gradient) = np.concatenate(pairs).transpose(1, 2, 0)
    return Geometry(birth_activation, birth_gradient, end_activation, end_gradient)


def times_to_integrate(results: Sequence[Result], threshold: float = 0.5, smoothing: float = 0.5) -> TimesToIntegrate:
    """When cohorts' smoothed gradient parity first reached `threshold` (see `CohortHistory.integration_times`)."""
    found = [result.cohorts().integration_times(threshold, smoothing) for result in results]
    return TimesToIntegrate(
        time=np.concatenate([times.time for times in found]),
        observed=np.concatenate([times.integrated for times in found]),
        layer=np.concatenate([times.layer for times in found]),
        learner=np.repeat(np.arange(len(found)), [len(times.time) for times in found]),
    )


def survival(results: Sequence[Result], threshold: float = 0.5) -> Survival:
    """Kaplan and Meier's estimate of who has not integrated yet, by age, from `times_to_integrate`.

    Cohorts that were removed or outlived the stream before they had are censored at the age at which they were last
    seen. All cohorts and layers count alike, as if independent, though those of one learner are not.

    threshold: the gradient parity that counts as integrated.
    """
    times = times_to_integrate(results, threshold)
    unseen = times.time[~times.observed]
    if not len(times.time):
        return Survival(*(np.zeros(0),) * 4, censored=unseen)
    return Survival(*stats.survival(times.time, times.observed), censored=unseen)


def checkpoint_accuracy(result: Result) -> np.ndarray:
    """[checkpoints] test accuracy at the end of each task (edit cycle): mean over what was tested there, as
    `EpisodeSettings.tests` says. 0 from divergence on; tasks without test samples are left out.

    Raises:
        InvalidSetting: nothing was tested.
    """
    rows = result.rows
    tests = dict(zip(rows["stop"], rows["tests"], strict=True))
    lost = rows["stop"][-1] if rows["diverged"][-1] else np.inf
    values = [[0.0] if end >= lost else tests.get(end, []) for end in result.task_ends]
    found = [np.nanmean(value) for value in values if not np.isnan(value).all()]  # of no values, all are
    if not found or result.settings["episode"]["tests"] == "none":
        raise InvalidSetting("Nothing was tested in this run; choose tests='task' or 'past', where tasks have tests.")
    return np.array(found)


def acc_taa(results: Sequence[Result]) -> np.ndarray:
    """[seeds, 2] ACC, the test accuracy at the last checkpoint, and TAA, the mean over checkpoints, of each run."""
    curves = [checkpoint_accuracy(result)[:, None] for result in results]
    return np.array([(acc(curve), taa(curve)) for curve in curves])


def cycle_ticket(cycles: Sequence[Result], tickets: Sequence[Result]) -> CycleTicket:
    """ACC of one method's runs, and of their tickets, each with a bootstrap interval over seeds."""
    return CycleTicket(*(mean_interval(acc_taa(results)[:, 0]) for results in (cycles, tickets)))


def spending(results: Sequence[Result]) -> Spending:
    """Multiply-accumulates of a life, and TAOA, each with a bootstrap interval over seeds."""
    macs = np.array([result.macs() for result in results], dtype=np.float64)
    return Spending(mean_interval(macs), mean_interval(np.array([result.taoa() for result in results])))


def scores(scenarios: ByScenario) -> Scores:
    """Mean TAOA by method and scenario, of results by scenario and method; NaN where a method has none."""
    methods = list(dict.fromkeys(name for found in scenarios.values() for name in found))
    values = np.full((len(methods), len(scenarios)), np.nan)
    for column, found in enumerate(scenarios.values()):
        for row, name in enumerate(methods):
            if found.get(name):
                values[row, column] = np.mean([result.taoa() for result in found[name]])
    return Scores(methods, list(scenarios), values)


def taoa_by_seed(results: Sequence[Result]) -> dict[int, float]:
    """TAOA of each run of one method."""
    return {result.seed: result.taoa() for result in results}


def pairs(mine: Mapping[int, float], base: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Both methods' scores with the seeds that they have in common, [seeds] each."""
    both = [seed for seed in mine if seed in base]
    return np.array([mine[seed] for seed in both]), np.array([base[seed] for seed in both])


def taoa_differences(methods: ByMethod, reference: str) -> dict[str, Interval]:
    """Each other method's TAOA less that of `reference` with the same seed: mean and bootstrap interval over seeds.

    Raises:
        UnknownName: no method is called `reference`.
        InvalidSetting: a method has no seed in common with it.
    """
    base, found = taoa_by_seed(look_up(methods, reference, "method")), {}
    for name, results in methods.items():
        mine, theirs = pairs(taoa_by_seed(results), base)
        if not mine.size:
            raise InvalidSetting(f"{name} and {reference} have no seed in common; run both with the same seeds.")
        if name != reference:
            found[name] = paired_difference(mine, theirs)
    return found


def _alike(results: Sequence[Result]) -> bool:
    """Whether all have the same tasks' ends."""
    return all(result.task_ends == results[0].task_ends for result in results)


def _at(positions: np.ndarray, result: Result, values: Sequence[float]) -> np.ndarray:
    """`values`, known at the ends of the run's steps, as they stood at `positions`; NaN after a run's early end."""
    stops = np.array(result.rows["stop"])
    index = np.searchsorted(stops, positions)  # the first step that ends there or later
    return np.append(values, np.nan)[index]


def _parities(result: Result) -> list[float]:
    """Log gradient parity after each step, averaged over the layers that have newborns and incumbents."""
    pairs = zip(result.rows["log_gradient_parity"], result.rows["comparable"], strict=True)
    return [np.mean(np.array(values)[where]) if any(where) else np.nan for values, where in pairs]


def _edits(result: Result) -> np.ndarray:
    """The updates at which the run was edited."""
    rows = result.rows
    edited = [
        any(map(any, (grow, prune, recycle))) or rewind != "none" or reset
        for grow, prune, recycle, rewind, reset in zip(
            rows["grow"], rows["prune"], rows["recycle"], rows["rewind"], rows["reset"], strict=True
        )
    ]
    return np.array(rows["start"])[edited]


def _scored_tasks(result: Result) -> list[tuple[int, int]]:
    """First update and end of each task that is scored."""
    tasks, scored = list(pairwise([0, *result.task_ends])), result.settings["scored"]
    return tasks if scored is None else [task for task, counts in zip(tasks, scored, strict=True) if counts]


def _within(results: Sequence[Result], chosen: slice) -> Band:
    """Accuracy by updates since the beginning of the chosen ones among the scored tasks."""
    curves = [_mean_task(result.online_accuracy(), _scored_tasks(result)[chosen]) for result in results]
    longest = min(map(len, curves))  # that every seed has a task of
    width = -(-longest // POINTS)
    starts = np.arange(0, longest, width)
    sizes = np.diff(np.append(starts, longest))
    cut = np.add.reduceat(np.stack([curve[:longest] for curve in curves]), starts, axis=1) / sizes
    return Band(starts + (sizes - 1) / 2, *mean_bands(cut))


def _mean_task(accuracy: np.ndarray, tasks: Sequence[tuple[int, int]]) -> np.ndarray:
    """[updates of the longest task] mean over those tasks that last so long."""
    longest = max(stop - start for start, stop in tasks)
    total, count = np.zeros(longest), np.zeros(longest)
    for start, stop in tasks:
        total[: stop - start] += accuracy[start:stop]
        count[: stop - start] += 1
    return total / count


def _step_at(result: Result, updates: np.ndarray) -> np.ndarray:
    """[points] the step that covers each update; one more than there are after the run's end."""
    return np.searchsorted(result.rows["stop"], updates, side="right")


def _composition(result: Result, edges: np.ndarray) -> np.ndarray:
    """[groups + 1, steps + 1] live units of the founders and of each group of births at each step's end; NaN after the
    run's end, and where it diverged."""
    rows, steps = result.rows, len(result.rows["stop"])
    found = np.full((len(edges), steps + 1), np.nan)
    for step in range(steps):
        if rows["diverged"][step]:
            continue
        born, live = _births(rows["stop"][step], _end_points(result, step), rows["live"][step], rows["age"][step])
        group = np.searchsorted(edges[:-1], born, side="right")
        group[born < 0] = 0
        found[:, step] = np.bincount(group, weights=live, minlength=len(edges))
    return found


def _births(
    now: int, points: Sequence[CohortPoint], live: Sequence[int], age: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Birth (in updates; -1: founders) and live units of each cohort in each layer, [cohorts] each.

    Points are of cohorts with older units beside them. What they leave of a layer's units is its oldest cohort, and
    what they leave of its ages tells when that was born.

    live, age: [layers] units, and their mean updates since birth.
    """
    born, count = [now - point.age for point in points], [point.live for point in points]
    for layer, (units, mean) in enumerate(zip(live, age, strict=True)):
        mine = [point for point in points if point.layer == layer]
        left = units - sum(point.live for point in mine)
        if left > 0:
            ages = units * mean - sum(point.live * point.age for point in mine)
            born.append(round(now - ages / left) or -1)
            count.append(left)
    return np.array(born, dtype=np.int64), np.array(count, dtype=np.float64)


def _end_points(result: Result, step: int) -> list[CohortPoint]:
    """The cohorts at a step's end: an edit's are listed before them, both by layer and cohort."""
    points = result.cohorts_at(step)
    keys = [(point.layer, point.cohort) for point in points]
    again = [at for at in range(1, len(keys)) if keys[at] <= keys[at - 1]]
    return points[again[-1] :] if again else points


def _table(result: Result) -> np.ndarray:
    """[points, 5] layer, cohort, age, both log-parities of every cohort, in this order; of two at one age, which stand
    on both sides of an edit, the first."""
    found = [
        (p.layer, p.cohort, p.age, p.log_activation_parity, p.log_gradient_parity) for p in result.cohorts().points
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 5)
    _, first = np.unique(table[:, :3], axis=0, return_index=True)
    return table[first]


def _group_ages(age: np.ndarray) -> np.ndarray:
    """[points] numbers of the groups that ages [points] are counted in."""
    if len(np.unique(age)) <= AGES:
        return age
    cuts = np.quantile(age[age > 0], np.linspace(0, 1, AGES)[1:-1])
    return np.where(age > 0, 1 + np.searchsorted(cuts, age), 0)
