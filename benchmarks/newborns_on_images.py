"""How newborn units fare on real images: parity at birth and at the end of each cycle, and what helps.

The paper's ConvNet (dense trunk, editable head; arXiv 2605.15435) learns from one data set in short cycles; between
cycles, Grow adds units until the editable layers hold a given share of their weights, Prune removes them and rewinds.

python benchmarks/newborns_on_images.py methods DATA.npz      # Grow and Prune, plain SGD
python benchmarks/newborns_on_images.py rules DATA.npz        # three insertion times three optimizer-state rules, Adam
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from scipy.stats import t as student_t

from plastic_env import SGD, Adam, Conv, Edit, EpisodeSettings, LearnerSettings, Lifetime, Plan
from plastic_env.learner.allocation import allocate_units
from plastic_env.learner.cohorts import CohortHistory, CohortPoint
from plastic_env.scenarios import iid
from plastic_env.scenarios.data import load
from plastic_env.study import stats

TRUNK = (Conv(32, editable=False), Conv(64, editable=False))
SLOTS = (512, 512, 256)
START = 0.1  # of the units live when growing begins
INSERTIONS = ("dormant", "scaled", "net2wider")
OPTIMIZER_STATES = ("fresh", "padded", "transplant")
PROBE, LOOKS = 256, 12  # samples of a probe, probes per cycle


@dataclass(frozen=True)
class Job:
    """One method on one data set, several seeds at once."""

    method: str  # grow or prune
    data: str
    compactness: float
    cycles: int
    epochs: int
    batch: int
    seeds: int
    optimizer: str
    insertion: str = "dormant"
    optimizer_state: str = "fresh"


@dataclass(frozen=True)
class Found:
    """What became of it: by seed, the points of its cohorts; accuracies [cycles, seeds]; seconds."""

    histories: list[CohortHistory]
    births: dict[int, list[CohortPoint]]  # by cycle
    ends: dict[int, list[CohortPoint]]  # by cycle: the cohort born at its start
    test_accuracy: np.ndarray
    seconds: float


def run(job: Job) -> Found:
    """Live through all cycles."""
    start = time.perf_counter()
    scenario = iid.Iid(f"npz:{job.data}", job.cycles, 1, job.batch)
    data = load(scenario.data)
    scenario = iid.Iid(f"npz:{job.data}", job.cycles, job.epochs * (len(data.train) // job.batch), job.batch)
    learner = LearnerSettings(
        hidden=(*TRUNK, *SLOTS),
        live=START if job.method == "grow" else 1.0,
        optimizer={"sgd": SGD(0.1), "adam": Adam(0.001)}[job.optimizer],
    )
    life = Lifetime(scenario, EpisodeSettings(learner, max_budget=scenario.updates, probe_samples=PROBE), job.seeds)
    life.begin({seed: np.random.default_rng([seed, 0]) for seed in range(job.seeds)})
    final = np.array(allocate_units(learner, data.shape, data.classes, job.compactness))
    found = Found([CohortHistory() for _ in range(job.seeds)], {}, {}, np.zeros((job.cycles, job.seeds)), 0.0)
    for cycle in range(job.cycles):
        edit = Edit() if cycle == 0 else _edit(job, np.array(life.population.live(0)), final, job.cycles - cycle)
        at_start = True
        while at_start or not (life.at_shift | life.over).all():
            plan = Plan(edit if at_start else Edit(), -(-scenario.updates // LOOKS))
            outcomes = life.step(dict.fromkeys(np.flatnonzero(~life.over).tolist(), plan))
            for seed, outcome in outcomes.items():
                found.histories[seed].points.extend(outcome.cohorts)
                if edit.births and outcome.cohorts:
                    newest = max(point.cohort for point in outcome.cohorts)
                    mine = [point for point in outcome.cohorts if point.cohort == newest]
                    if at_start:
                        found.births.setdefault(cycle, []).extend(p for p in mine if p.age == 0)
                    if outcome.shift or outcome.terminated:
                        found.ends.setdefault(cycle, []).extend(mine)
            at_start = False
        found.test_accuracy[cycle] = _test_accuracy(life, data)
    return Found(found.histories, found.births, found.ends, found.test_accuracy, time.perf_counter() - start)


def _edit(job: Job, live: np.ndarray, final: np.ndarray, edits_left: int) -> Edit:
    """An equal share of what is still to grow or to prune."""
    if job.method == "prune":
        return Edit(prune=tuple(-(-np.maximum(live - final, 0) // edits_left)), rewind="initial")
    share = -(-np.maximum(final - live, 0) // edits_left)
    return Edit(grow=tuple(share), insertion=job.insertion, optimizer_state=job.optimizer_state)


def _test_accuracy(life: Lifetime, data) -> np.ndarray:
    hits = 0
    for rows in torch.arange(len(data.test)).split(250):
        logits = life.population.predict(data.test.fetch(rows).expand(len(life), -1, -1))
        hits = hits + (logits.argmax(-1) == data.test.targets[rows]).sum(-1).numpy()
    return hits / len(data.test)


def mean_text(values: np.ndarray) -> str:
    """Mean and half of its 95 % interval over seeds, by Student's t: with three of them, a bootstrap is too narrow."""
    seeds = len(values)
    half = student_t.ppf(0.975, seeds - 1) * values.std(ddof=1) / seeds**0.5 if seeds > 1 else np.nan
    return f"{values.mean():.3f} ± {half:.3f}"


def median_time(histories: list[CohortHistory], threshold: float) -> str:
    """Kaplan-Meier median of the time to integrate in updates, and how many integrated."""
    found = [history.integration_times(threshold) for history in histories]
    time_, done = (np.concatenate([getattr(f, name) for f in found]) for name in ("time", "integrated"))
    median = stats.median_time(time_, done).median
    return f"{int(median) if np.isfinite(median) else f'> {time_.max()}'} ({done.sum()} of {len(done)})"


def log_parities(points: list[CohortPoint], layer: int) -> str:
    """Mean activation and gradient log-parity of a layer's cohorts."""
    mine = [point for point in points if point.layer == layer]
    activation, gradient = (np.mean([getattr(p, f"log_{k}_parity") for p in mine]) for k in ("activation", "gradient"))
    return f"{activation:+.2f} / {gradient:+.2f}"


def report_methods(found: dict[str, Found]) -> None:
    """Parity layer by layer and cycle by cycle, and accuracies."""
    grow = found["grow"]
    print("Grow: activation / gradient log-parity of the newborns, at birth -> at the end of the cycle\n")
    print("| cycle | fc1 | fc2 | fc3 |\n| --- | --- | --- | --- |")
    for cycle in grow.births:
        pairs = [
            f"{log_parities(grow.births[cycle], at)} -> {log_parities(grow.ends[cycle], at)}"
            for at in range(len(SLOTS))
        ]
        print(f"| {cycle + 1} | {' | '.join(pairs)} |")
    print("\nTest accuracy at the end of each cycle (mean ± 95 % over seeds)\n")
    cycles = range(1, len(grow.test_accuracy) + 1)
    print(f"| method | {' | '.join(f'cycle {c}' for c in cycles)} | minutes |\n|{' --- |' * (len(cycles) + 2)}")
    for name, result in found.items():
        cells = " | ".join(mean_text(row) for row in result.test_accuracy)
        print(f"| {name} | {cells} | {result.seconds / 60:.1f} |")


def report_rules(found: dict[str, Found]) -> None:
    """One row for each pair of rules."""
    # times to parity 1 too: where newborns are born beyond 1/2, the usual threshold says nothing
    times = ("median updates to parity 1/2 (cohorts that reach it)", "to parity 1")
    heads = (
        "insertion, optimizer state",
        "gradient log-parity at birth",
        "at the cycle's end",
        *times,
        "test accuracy",
    )
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, result in found.items():
        births, ends = (
            np.mean([p.log_gradient_parity for points in part.values() for p in points])
            for part in (result.births, result.ends)
        )
        waits = (median_time(result.histories, level) for level in (0.5, 1.0))
        cells = (name, f"{births:+.2f}", f"{ends:+.2f}", *waits, mean_text(result.test_accuracy[-1]))
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Run all jobs, as many at once as asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["methods", "rules"])
    parser.add_argument("data", help="images and labels in one file with Keras' keys")
    parser.add_argument("--compactness", type=float, default=0.2)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="per cycle")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once, one thread each")
    options = vars(parser.parse_args())
    what, workers = options.pop("what"), options.pop("jobs")
    if what == "methods":
        jobs = {method: Job(method=method, optimizer="sgd", **options) for method in ("grow", "prune")}
    else:
        jobs = {
            f"{insertion}, {state}": Job(
                "grow", optimizer="adam", insertion=insertion, optimizer_state=state, **options
            )
            for insertion in INSERTIONS
            for state in OPTIMIZER_STATES
        }
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = dict(zip(jobs, pool.map(run, jobs.values()), strict=True))
    (report_methods if what == "methods" else report_rules)(found)


if __name__ == "__main__":
    main()
