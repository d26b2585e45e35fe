"""Every method on three streams, at equal updates and at equal multiply-accumulates.

python benchmarks/methods.py [--seeds N] [--threads N] [--out DIR]      # a Markdown page; runs that are there are read

At equal multiply-accumulates, tasks are as many and the same, but a method that costs more gets fewer updates for each,
so that its whole life costs as much as that of `grow`, which is among the cheapest at equal updates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plastic_env.agents import METHODS
from plastic_env.scenarios import find
from plastic_env.study.results import Result
from plastic_env.study.runner import run_study
from plastic_env.study.stats import fifths, holm, mean_interval, paired_difference, sign_flip_test
from plastic_env.study.sweep import Study
from plastic_env.study.text import interval_text

SCENARIOS = ("PermutedDigits-small-v0", "RandomLabelDigits-small-v0", "SplitDigits-small-v0")
INTERVENTIONS = (
    "trainability=two_speed",
    "optimizer_state=transplant",
    "grow_rule=gradient",
    "grow_rule=gradmax",
    "insertion=net2wider",
    "activation=random_smooth_leaky",
)  # the paper's, on its Grow
NAMES = (*METHODS, *(f"grow+{option}" for option in INTERVENTIONS))
FRUGAL = "grow"  # whose cost all others may spend, too
SAME = 0.05  # relative difference in cost that is let pass


@dataclass(frozen=True)
class Found:
    """One method's runs: TAOA and its last fifth by seed, and what a life costs."""

    taoa: np.ndarray
    last: np.ndarray
    macs: float
    updates: int
    diverged: int

    @staticmethod
    def of(results: Sequence[Result]) -> Found:
        """Measured."""
        accuracy = np.stack([result.online_accuracy() for result in results])
        return Found(
            np.array([result.taoa() for result in results]),
            fifths(accuracy)[1],
            float(np.mean([result.macs() for result in results])),
            accuracy.shape[1],
            sum(bool(result.last("diverged")) for result in results),
        )


def main() -> None:
    """Print a table for each stream."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scenarios", nargs="+", default=SCENARIOS)
    parser.add_argument("--out", type=Path, default=Path("results/methods"))
    asked = parser.parse_args()
    for name in asked.scenarios:
        equal_updates = run(name, NAMES, asked, {})
        print_table(name, asked.seeds, equal_updates, equal_compute(name, equal_updates, asked))


def equal_compute(name: str, lives: Mapping[str, Found], asked: argparse.Namespace) -> dict[str, Found]:
    """The methods again, each with as many updates per task as the cost of `FRUGAL` pays for."""
    per_task, budget = find(name).updates, lives[FRUGAL].macs
    found = {}
    for method, life in lives.items():
        updates = max(1, round(per_task * budget / life.macs))
        same = abs(updates - per_task) <= SAME * per_task
        found[method] = life if same else run(name, (method,), asked, {"updates": updates})[method]
    return found


def run(name: str, methods: Sequence[str], asked: argparse.Namespace, changes: Mapping[str, int]) -> dict[str, Found]:
    """Methods on a stream, over all seeds."""
    study = Study(name, methods, asked.seeds, changes)
    finished = run_study(study, asked.out / name, threads=asked.threads, show_progress=False)
    assert not finished.failures, finished.failures
    return {method: Found.of(results) for method, results in finished.results.items()}


def print_table(name: str, seeds: int, updates: Mapping[str, Found], compute: Mapping[str, Found]) -> None:
    """The best at equal updates first."""
    dense = updates["dense"]
    others = [method for method in updates if method != "dense"]
    p = dict(zip(others, holm(np.array([sign_flip_test(updates[m].taoa, dense.taoa).p for m in others])), strict=True))
    print(f"\n### `{name}`, {seeds} seeds\n")
    heads = (
        "method",
        "TAOA, equal updates",
        "over `dense`",
        "p",
        "last fifth",
        "x MACs",
        "TAOA, equal MACs",
        "updates",
    )
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for method in sorted(updates, key=lambda method: -updates[method].taoa.mean()):
        life, same = updates[method], compute[method]
        cells = [
            f"`{method}`" + (f" ({life.diverged} diverged)" if life.diverged else ""),
            interval_text(mean_interval(life.taoa)),
            "" if method == "dense" else interval_text(paired_difference(life.taoa, dense.taoa), "+"),
            "" if method == "dense" else f"{p[method]:.2g}",
            f"{life.last.mean():.3f}",
            f"{life.macs / dense.macs:.2f}",
            interval_text(mean_interval(same.taoa)),
            f"{same.updates / life.updates:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
