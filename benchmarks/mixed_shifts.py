"""Policies that choose how much to recycle, on streams whose shifts are weak or strong: learned ones, all that were
written by hand, the best fixed one, and an oracle.

python benchmarks/mixed_shifts.py STREAM POLICY ... [--methods M ...] [--seeds N] [--threads N] [--out DIR]

A Markdown table. STREAM is "MixedShiftsDigits-small-v0" or "BimodalShiftsDigits-small-v0", a POLICY is "ppo:FILE",
"cma:FILE" or "fixed:FILE". All live on the same instances of the split "test", which nothing was trained on. The oracle
is told each shift's kind and strength, and recycles as a sweep on training instances found best (`ORACLE`). There is
one for the learner of `dense` and one for that of `layer_norm_l2_init`, which acts by the same table.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plastic_env import Edit, EpisodeSettings, LearnerSettings, Lifetime, Plan
from plastic_env.agents import METHODS
from plastic_env.scenarios import find
from plastic_env.scenarios.mixed import Shift
from plastic_env.study.costs import costs
from plastic_env.study.methods import find_method
from plastic_env.study.notes import notes
from plastic_env.study.results import Result
from plastic_env.study.runner import run_study
from plastic_env.study.stats import (
    accuracy_within,
    holm,
    mean_interval,
    paired_difference,
    sign_flip_test,
)
from plastic_env.study.sweep import Study
from plastic_env.study.text import interval_text

# fraction to recycle and what becomes of the optimizer's state, by strength; a task that returns has its own
ORACLE: dict[str, dict[float | str, tuple[float, str]]] = {
    "BimodalShiftsDigits-small-v0": {0.05: (0.0, "fresh"), 1.0: (0.75, "reset")},
    "MixedShiftsDigits-small-v0": {
        0.05: (0.05, "fresh"),
        0.15: (0.25, "fresh"),
        0.3: (0.25, "fresh"),
        0.6: (0.5, "reset"),
        1.0: (0.75, "reset"),
        "return": (0.25, "fresh"),
    },
}


ORACLES = {"oracle": "dense", "oracle, layer_norm_l2_init": "layer_norm_l2_init"}  # whose learner each one edits


@dataclass(frozen=True)
class Lives:
    """Accuracy [seeds, updates] before each update, and what each update cost [seeds, updates]."""

    accuracy: np.ndarray
    cost: np.ndarray

    @staticmethod
    def of(results: Sequence[Result]) -> Lives:
        """A method's lives."""
        cost = costs(results, "macs")
        assert cost is not None
        return Lives(np.stack([result.online_accuracy() for result in results]), cost)

    @property
    def taoa(self) -> np.ndarray:
        """By seed."""
        return self.accuracy.mean(1)

    def at_equal_compute(self, other: Lives) -> tuple[np.ndarray, np.ndarray]:
        """Both ones' mean accuracy by seed over what both can pay for: the lesser of the two lives' costs."""
        budgets = np.minimum(self.cost.sum(1), other.cost.sum(1))
        found = [
            np.array([accuracy_within(a, c, b) for a, c, b in zip(one.accuracy, one.cost, budgets, strict=True)])
            for one in (self, other)
        ]
        return found[0], found[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stream", choices=ORACLE)
    parser.add_argument("policies", nargs="+")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="written by hand; default: all")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/mixed_shifts"))
    asked = parser.parse_args()
    if "dense" not in asked.methods:
        parser.error(f"--methods {' '.join(asked.methods)} lacks dense, by whose MACs all others' are divided; add it.")
    study = Study(
        asked.stream, (*asked.policies, *asked.methods), tuple(range(asked.seeds)), settings={"split": "test"}
    )
    finished = run_study(study, asked.out / asked.stream, threads=asked.threads, show_progress=False)
    assert not finished.failures, finished.failures
    learned = [find_method(policy).label for policy in asked.policies]
    lives = {name: Lives.of(results) for name, results in finished.results.items()}
    lives |= {name: oracle(asked.stream, asked.seeds, METHODS[edited].learner) for name, edited in ORACLES.items()}
    for note in notes(study):
        print(f"* {note}")
    print_table(asked.stream, learned, lives)


def oracle(stream: str, seeds: int, learner: LearnerSettings) -> Lives:
    """Lives of learners in the hands of somebody who is told each shift."""
    scenario, table = find(stream, split="test"), ORACLE[stream]
    life = Lifetime(scenario, EpisodeSettings(learner, ranks=False), seeds)
    life.begin({seed: np.random.default_rng(seed) for seed in range(seeds)})
    shifts = [starts(scenario.shifts(stream.seed)) for stream in life.streams]
    accuracy, cost = np.zeros((2, seeds, life.updates))
    while not life.over.all():
        plans = {}
        for member in np.flatnonzero(~life.over).tolist():
            shift = shifts[member].get(int(life.position[member]))
            plans[member] = Plan(Edit() if shift is None else told(shift, table, life.population.live(member)), 1000)
        for member, outcome in life.step(plans).items():
            accuracy[member, outcome.start : outcome.stop] = outcome.accuracy
            cost[member, outcome.start : outcome.stop] = outcome.macs / (outcome.stop - outcome.start)
    return Lives(accuracy, cost)


def starts(shifts: Sequence[Shift]) -> dict[int, Shift]:
    """All shifts but the first task's, by the update at which they happen."""
    ends = np.cumsum([shift.length for shift in shifts])[:-1]
    return dict(zip(ends.tolist(), shifts[1:], strict=True))


def told(shift: Shift, table: Mapping[float | str, tuple[float, str]], live: Sequence[int]) -> Edit:
    """What to recycle, knowing the shift."""
    fraction, state = table["return"] if shift.kind == "return" else table[shift.strength]
    counts = tuple(round(fraction * units) for units in live)
    return Edit(recycle=counts, insertion="fresh", optimizer_state=state) if any(counts) else Edit()


def print_table(stream: str, learned: Sequence[str], lives: Mapping[str, Lives]) -> None:
    """All by TAOA, each with what the learned policies gain over it."""
    print(f"\n### `{stream}`, split test, {len(next(iter(lives.values())).taoa)} instances\n")
    rivals = [name for name in lives if name not in learned and name not in ORACLES]
    corrected = {
        name: dict(
            zip(
                rivals, holm(np.array([sign_flip_test(lives[name].taoa, lives[r].taoa).p for r in rivals])), strict=True
            )
        )
        for name in learned
    }
    heads = ["method", "TAOA", "x MACs of `dense`"]
    for name in learned:
        heads += [f"`{name}` gains, equal updates", "p", f"`{name}` gains, equal MACs"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    base = lives["dense"].cost.sum(1).mean()
    for name, life in sorted(lives.items(), key=lambda item: -item[1].taoa.mean()):
        cells = [
            f"`{name}`",
            interval_text(mean_interval(life.taoa), digits=4),
            f"{life.cost.sum(1).mean() / base:.2f}",
        ]
        for policy in learned:
            if policy == name:
                cells += ["", "", ""]
                continue
            p = corrected[policy].get(name)
            cells += [
                interval_text(paired_difference(lives[policy].taoa, life.taoa), "+", digits=4),
                "" if p is None else f"{p:.2g}",
                interval_text(paired_difference(*lives[policy].at_equal_compute(life)), "+", digits=4),
            ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
