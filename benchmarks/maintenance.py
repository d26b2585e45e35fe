"""What maintenance costs: updates of a population with each rule against plain ones.

python benchmarks/maintenance.py [--batch N] [--rounds N]      # a Markdown table, in about a minute; ratios first
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch

from plastic_env import SGD, UPGD, Adam, LearnerSettings, Population
from plastic_env.learner.penalties import L2, Dropout, L2Init, NaP, ShrinkPerturb, Spectral
from plastic_env.learner.replacement import ContinualBackprop, ContinuousCBP

N, INPUTS, CLASSES, UPDATES = 32, 64, 10, 64
RULES = {
    "continual backprop": ContinualBackprop(),
    "shrink & perturb": ShrinkPerturb(),
    "continuous CBP": ContinuousCBP(),
    "L2": L2(),
    "L2-init": L2Init(),
    "spectral": Spectral(),
    "dropout": Dropout(),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| rule | optimizer | x plain | ms per update of 32 learners |\n| --- | --- | --- | --- |")
    for name, optimizer in (("SGD", SGD(0.01)), ("Adam", Adam())):
        contestants = {"plain": {}, **{rule: {"maintenance": (made,)} for rule, made in RULES.items()}}
        contestants |= {"layer normalisation": {"norm": "layer"}, "NaP": {"norm": "layer", "maintenance": (NaP(),)}}
        settings = {rule: {"optimizer": optimizer, **more} for rule, more in contestants.items()}
        settings["UPGD"] = {"optimizer": UPGD()}
        if name == "SGD":  # whose gradients are not written down otherwise
            settings["a vanishing momentum"] = {"optimizer": SGD(0.01, momentum=1e-9)}
        for rule, ratio, seconds in race(settings, asked.rounds, asked.batch):
            shown = f"UPGD over plain {name}" if rule == "UPGD" else rule
            used = "UPGD" if rule == "UPGD" else name  # which is an optimizer itself
            print(f"| {shown} | {used} | {ratio:.2f} | {1e3 * seconds:.2f} |", flush=True)


def race(settings: dict[str, dict], rounds: int, batch: int) -> list[tuple[str, float, float]]:
    """The median over rounds of each contestant's CPU time over that of the first in the same round, and of its time
    per update; all take turns."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((UPDATES, N, batch, INPUTS), dtype=np.float32))
    y = torch.from_numpy(rng.integers(CLASSES, size=(UPDATES, N, batch)))
    populations = {}
    for name, more in settings.items():
        made = populations[name] = Population(N, INPUTS, CLASSES, LearnerSettings(hidden=(64, 64), **more))
        made.begin({member: np.random.default_rng(member) for member in range(N)})
        for _ in range(4):  # past the maturity of continual backprop's units
            made.train(x, y)
    times: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(rounds):
        for name, made in populations.items():
            start = time.process_time()
            made.train(x, y)
            times[name].append((time.process_time() - start) / UPDATES)
    plain = next(iter(times.values()))
    return [
        (name, median(t / p for t, p in zip(mine, plain, strict=True)), median(mine)) for name, mine in times.items()
    ]


if __name__ == "__main__":
    main()
