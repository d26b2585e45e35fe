"""What the small streams show: dense networks, networks drawn anew at each shift, and recycled ones on each of them.

python benchmarks/scenarios.py [--seeds N] [--threads N]      # a Markdown table, in five to ten minutes
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from plastic_env.scenarios import SCENARIOS
from plastic_env.study.compare import compare
from plastic_env.study.stats import Interval
from plastic_env.study.sweep import Study

METHODS = ("dense", "reset", "recycle")
FEW = 5  # tasks up to which all of them are tested at the end


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    heads = ("stream", "tasks", "updates", *METHODS, "seconds")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name in SCENARIOS:
        if "-small-" in name:
            print(f"| {' | '.join(row(name, asked.seeds, asked.threads))} |", flush=True)


def row(name: str, seeds: int, threads: int) -> list[str]:
    """The stream's name and sizes, what each method reaches, and how long that took."""
    stream = SCENARIOS[name].stream(0)
    few = len(stream.lengths) <= FEW and stream.task(0).test is not None
    study = Study(name, METHODS, tuple(range(seeds)), settings={"tests": "past" if few else "none"})
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(study, Path(folder), threads=threads, show_progress=False).summaries
    seconds = time.perf_counter() - start
    cells = [
        text(summary.taoa) + (f"; test {text(summary.test)}" if summary.test else "") for summary in found.values()
    ]
    return [f"`{name}`", str(len(stream.lengths)), f"{stream.updates:,}", *cells, f"{seconds:.0f}"]


def text(interval: Interval) -> str:
    """Mean and half of the interval."""
    return f"{interval.mean:.3f} ± {(interval.high - interval.low) / 2:.3f}"


if __name__ == "__main__":
    main()
