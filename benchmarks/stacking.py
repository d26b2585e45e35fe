"""Whether it pays to train several methods as one population: learner-updates per second of CPU time.

    python benchmarks/stacking.py --seeds 3 8

Methods in one row have equal learners. Stackings take turns, so that other work on the machine slows all of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from plastic_env.study import sweep
from plastic_env.study.groups import run_group
from plastic_env.study.sweep import Study

STREAM = "PermutedDigits-small-v0"
ROWS = (
    ("dense", "reset", "dense_rewind", "recycle"),
    ("dense", "prune", "recycle", "every_10_recycle"),
    ("grow", "grow_integrate", "every_5", "parity_gated"),
)
JOINED = (1, 16, 32)  # learners up to which methods are stacked


def main() -> None:
    """Print a line for each row and number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 8])
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for methods in ROWS:
        for seeds in asked.seeds:
            cells = Study(STREAM, methods, seeds, {"tasks": asked.tasks}).cells()
            rates = np.median([[rate(cells, joined) for joined in JOINED] for _ in range(asked.rounds)], 0)
            found = ", ".join(f"{joined}: {value:,.0f}" for joined, value in zip(JOINED, rates, strict=True))
            print(f"{' '.join(methods)}, {seeds} seeds, stacked up to {found}", flush=True)


def rate(cells: list[sweep.Cell], joined: int) -> float:
    """Learner-updates per second with methods stacked up to so many learners."""
    done: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        for group in sweep.stacked(cells, joined):
            done += [told for told in run_group(group, Path(folder), True) if isinstance(told, int)]
        return sum(done) / (time.process_time() - start)


if __name__ == "__main__":
    main()
