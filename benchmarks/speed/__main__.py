"""How fast learners are trained, side by side in one run: `make bench`, or python benchmarks/speed.

Contestants take turns, so that the machine's moods hit all alike; figures are medians, ratios of medians first. Writes
docs/results/speed.md and docs/results/speed.png.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from cases import CASES, NETS, Case
from contestants import Run, contestants, population, rate
from drawing import draw

from plastic_env import Population
from plastic_env.learner.compute import training_macs

DOCS = Path(__file__).parents[2] / "docs" / "results"
HERE = Path(__file__).parent
PLAIN = "plain PyTorch loop"


def main() -> None:
    """Time everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--out", type=Path, default=DOCS, help="folder for speed.md and speed.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [case for case in CASES if case.net in options.nets]
    peak = gemm_peak()
    rates = {}
    for case in cases:
        rounds = options.rounds if case.stretch > 10 else few(options.rounds)
        rates[case] = race(contestants(case), rounds)
        print(f"{case}: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates[case].items()), flush=True)
    parts = [
        "# Speed\n\nPrinted by `make bench`, but for the notes at the end. Contestants took turns on one thread; "
        f"figures are medians over {options.rounds} rounds ({few(options.rounds)} for images) on {machine()}, where "
        f"the product of two single-precision matrices of 1,024 x 1,024 reaches {peak:.0f} GFLOP/s on one core. In the "
        "picture, plastic_env is green and others are grey.",
        "![Learner-updates per second, relative to a plain PyTorch loop](speed.png)",
        table(rates, peak),
        "## Both cores\n\n" + lines(cores(options.rounds)),
        "## Structure\n\n" + lines(subprocess_lines("structure.py")),
        "## Memory and start\n\n" + lines(subprocess_lines("memory.py") + subprocess_lines("startup.py")),
        (HERE / "notes.md").read_text().strip(),
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.md").write_text("\n\n".join(parts) + "\n")
    figure = draw({str(case): found for case, found in rates.items()}, PLAIN)
    figure.savefig(options.out / "speed.png", dpi=120)
    print("\n\n".join(parts[2:]))


def few(rounds: int) -> int:
    """Rounds for images, which take seconds each."""
    return max(3, rounds // 2)


def race(makers: dict[str, Callable[[], Run]], rounds: int) -> dict[str, float]:
    """Learner-updates per second of each, medians over interleaved rounds of a quarter of a second at least."""
    runs = {name: make() for name, make in makers.items()}
    for run in runs.values():
        run()  # warm up
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(rate(run, 0.25))
    return {name: statistics.median(found) for name, found in rates.items()}


def gemm_peak() -> float:
    """GFLOP/s of one thread."""
    a, b = torch.randn(2, 1024, 1024)
    out, times = torch.empty(1024, 1024), []
    for _ in range(15):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(times) / 1e9


def gflops(case: Case, updates_per_second: float) -> float:
    """Of matrix products and convolutions."""
    learner = Population(1, case.inputs, 10, case.learner)
    return 2 * training_macs(learner.network, learner.widths(0)) * case.batch * updates_per_second / 1e9


def table(rates: dict[Case, dict[str, float]], peak: float) -> str:
    """Ratios to the plain loop, learner-updates per second, GFLOP/s."""
    rows = ["| case | contestant | x plain loop | learner-updates/s | GFLOP/s | of the peak |", "|" + " --- |" * 6]
    for case, found in rates.items():
        for name, value in found.items():
            speed = gflops(case, value)
            ratio = f"{value / found[PLAIN]:.2f}"
            rows.append(f"| {case} | {name} | {ratio} | {value:,.0f} | {speed:.1f} | {speed / peak:.0%} |")
    return "\n".join(rows)


def cores(rounds: int) -> list[str]:
    """Two threads or two processes against one, on a population of 32."""
    found = []
    for case in (Case("64-64-64-10", 16, "SGD"), Case("784-256-256-10", 16, "SGD")):
        rates = race({f"{n} threads": partial(population, case, 32, threads=n) for n in (1, 2)}, 2 * rounds)
        ratio = rates["2 threads"] / rates["1 threads"]
        found.append(f"{case}, population of 32: two threads {ratio:.2f} times one")
        found += subprocess_lines("processes.py", case.net, str(case.batch), case.optimizer, str(rounds))
    return found


def subprocess_lines(script: str, *arguments: str) -> list[str]:
    """What a fresh process prints."""
    command = [sys.executable, str(HERE / script), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def lines(found: list[str]) -> str:
    """As a list."""
    return "\n".join(f"* {line}" for line in found)


def machine() -> str:
    """One line about where this ran."""
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} x {model}, torch {torch.__version__}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
