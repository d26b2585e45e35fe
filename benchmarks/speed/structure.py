"""What structure costs and saves: live width, edits, diagnostics, snapshots; in units of one update of the same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from cases import Case, Noise
from contestants import learners

from plastic_env import Edit, EpisodeSettings, Lifetime, Plan, Population
from plastic_env.env.encoding import Codec
from plastic_env.learner import snapshots

N, ROUNDS = 32, 15
CASES = [Case("64-64-64-10", 16, "SGD"), Case("64-64-64-10", 16, "Adam"), Case("784-256-256-10", 16, "SGD")]


def medians(jobs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(ROUNDS + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def trainer(case: Case, made: Population) -> Callable[[], object]:
    """Eight updates."""
    x, y = (t[:, None].expand(-1, N, *t.shape[1:]).contiguous() for t in case.batches(8))
    return lambda: made.train(x, y)


def widths(case: Case) -> list[str]:
    """Live width against full width."""
    mixed = learners(case, N, 0.25)
    x, y = case.batches(1)
    probe = mixed.probe(*(t.expand(N, *t.shape[1:]) for t in (x, y)))
    slots = mixed.capacity
    mixed.edit({0: Edit(grow=tuple(units // 4 for units in slots), grow_rule="random")}, probe)
    jobs = {"full": learners(case, N), "quarter": learners(case, N, 0.25), "mixed": mixed}
    found = medians({name: trainer(case, made) for name, made in jobs.items()})
    quarter, mixed = (found[name] / found["full"] for name in ("quarter", "mixed"))
    return [
        f"{case}, {N} learners with a quarter of their units live: {quarter:.2f} times the time of full width",
        f"the same, one of them with half of its units live: {mixed:.2f} times",
    ]


def edits(case: Case) -> list[str]:
    """Edits, decisions and snapshots against one update of all learners."""
    life = Lifetime(Noise(case), EpisodeSettings(replace(case.learner, live=0.8)), N)
    life.begin({member: np.random.default_rng(member) for member in range(N)})
    life.step(dict.fromkeys(range(N), Plan(budget=8)))
    made, codec = life.population, Codec(life)
    tenth = tuple(round(0.1 * units) for units in made.capacity)
    x, y = (t[:, None].expand(-1, N, *t.shape[1:]).contiguous() for t in case.batches(64))
    probe = life.probe(range(N))
    state, updates = made.state, made.state.updates.copy()

    def edit(edit: Edit) -> Callable[[], object]:
        def run() -> None:
            made.state = state
            made.edit(dict.fromkeys(range(N), edit), probe)

        return run

    def look(ranks: bool) -> None:
        made.state, life.settings = state, replace(life.settings, ranks=ranks)
        life.probe(range(N))
        codec.observe_all(range(N))

    def train() -> None:
        made.state = state
        made.train(x, y)
        state.updates[:] = updates

    jobs = {
        "train": train,
        "growing a tenth": edit(Edit(grow=tenth)),
        "pruning a tenth": edit(Edit(prune=tenth)),
        "recycling a tenth": edit(Edit(recycle=tenth, insertion="fresh")),
        "probe, diagnostics and observations": partial(look, True),
        "the same without ranks": partial(look, False),
        "a snapshot in memory": lambda: snapshots.capture(made),
    }
    found = medians(jobs)
    update = found.pop("train") / 64
    costs = ", ".join(f"{name} {seconds / update:.1f}" for name, seconds in found.items())
    return [f"{case}, {N} learners, in updates of all of them ({update * 1e3:.2f} ms): {costs}"]


def main() -> None:
    """Print one line per finding."""
    torch.set_num_threads(1)
    print("\n".join(widths(Case("784-256-256-10", 16, "SGD"))))
    for case in CASES:
        print("\n".join(edits(case)))


if __name__ == "__main__":
    main()
