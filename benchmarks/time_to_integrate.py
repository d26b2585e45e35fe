"""Time to integrate: does it pay to leave newborns alone for longer, and to decide that by how they fare?

python benchmarks/time_to_integrate.py [--seeds N] [--tuning N] [--threads N] [--out DIR] [--picture FILE]

A Markdown page and a picture.

1. `every(K)`: the same growth in K cohorts, at fixed final width, horizon and (nearly) mean width.
2. Gated schedules against fixed ones. Both are tuned on seeds of their own, and compared on others. A gated schedule
   may gain by when it acts on average, or by acting when this learner is ready. So each is also compared with its yoked
   twin: the schedule that acts at the gated one's mean moments (mean over the tuning seeds of its i-th event), whatever
   the learner does.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from plastic_env.files import write_atomically
from plastic_env.study.plots.style import colour
from plastic_env.study.results import Result
from plastic_env.study.runner import run_study
from plastic_env.study.stats import Interval, mean_interval, paired_difference
from plastic_env.study.sweep import Study
from plastic_env.study.text import interval_text

STREAMS = ("PermutedDigits-small-v0", "RandomLabelDigits-small-v0")
COHORTS = (1, 2, 4, 8, 13, 26)  # 26 units come, from 6 to 32 of 64 slots
UNTIL = (0.5, 1.0)
TUNING = 1000  # the first of the seeds to tune on
TICKS = (200, 500, 1000, 2000, 5000, 10_000)  # updates
PICTURE = "time_to_integrate.png"
# at constant width the number of events is not fixed: schedules go on to the stream's end
ENDLESS = "+events=1000"
FIXED = {
    "growth": [f"every_{k}+until={until}" for k in (5, 20) for until in (0.1, 0.25, 0.5, 1.0)]
    + ["after_shift+events=10", "after_shift+events=40"],
    "recycling": [f"every_10_recycle+events={k}+until=1.0" for k in (10, 40, 80, 160)]
    + [f"{when}_recycle{ENDLESS}" for when in ("after_shift", "before_shift", "away_from_shifts")]
    + [f"after_shift_recycle{ENDLESS}+delay={delay}" for delay in (1, 10)],
}
GATES = {
    "growth": [f"parity_gated+theta={theta}+until={until}" for theta in (0.25, 0.8) for until in (0.5, 1.0)]
    + [f"{gate}+until={until}" for gate in ("plateau_gated", "utility_gated", "hazard") for until in (0.5, 1.0)],
    "recycling": [
        f"parity_gated_recycle{ENDLESS}+until=1.0+theta={theta}+patience={patience}"
        for theta in (0.25, 0.8)
        for patience in (100, 400)
    ]
    + [
        f"{gate}_recycle{ENDLESS}+until=1.0+patience={patience}"
        for gate in ("plateau_gated", "utility_gated", "hazard")
        for patience in (100, 400)
    ],
}
YOKED = {
    "growth": "plastic_env.agents.integration:At+live=0.1+moments=",
    "recycling": "plastic_env.agents.integration:At+recycle=True+insertion=fresh+moments=",
}
FAMILIES = ("parity_gated", "plateau_gated", "utility_gated", "hazard")


def main() -> None:
    """Print the page and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tuning", type=int, default=8, help="seeds to tune on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/time_to_integrate"), help="folder of the results")
    parser.add_argument("--picture", type=Path, help=f"default: {PICTURE} among the results")
    asked = parser.parse_args()
    found = {(stream, until): cohorts(stream, until, asked) for stream in STREAMS for until in UNTIL}
    draw(found, asked.picture or asked.out / PICTURE)
    for stream in STREAMS:
        for kind in FIXED:
            gates(stream, kind, asked)


def cohorts(stream: str, until: float, asked: argparse.Namespace) -> list[tuple[float, Interval]]:
    """Time to integrate and TAOA of `every(K)`, as a table, too."""
    names = {k: f"every_10+events={k}+until={until}" for k in COHORTS}
    runs = run(stream, list(names.values()), range(asked.seeds), asked)
    print(f"\n### `every(K)` on `{stream}`, growth within {until:.0%} of the stream, {asked.seeds} seeds\n")
    heads = ("K", "time to integrate", "TAOA", "last fifth", "mean width", f"over K = {COHORTS[0]}")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    curve = []
    first = taoa(runs[names[COHORTS[0]]])
    for k, name in names.items():
        updates = runs[name][0].settings["updates"]
        time, scores = until * updates / k, taoa(runs[name])
        late = np.mean([result.online_accuracy()[-updates // 5 :].mean() for result in runs[name]])
        width = np.mean([mean_width(result) for result in runs[name]])
        curve.append((time, mean_interval(scores)))
        gained = "" if k == COHORTS[0] else interval_text(paired_difference(scores, first), "+", digits=4)
        print(f"| {k} | {time:.0f} | {interval_text(curve[-1][1])} | {late:.3f} | {width:.1f} | {gained} |", flush=True)
    return curve


def gates(stream: str, kind: str, asked: argparse.Namespace) -> None:
    """The best of each family of gates by the tuning seeds against the best fixed schedule and against its twin."""
    tuning, held_out = range(TUNING, TUNING + asked.tuning), range(asked.seeds)
    tuned = run(stream, [*FIXED[kind], *GATES[kind]], tuning, asked)
    fixed = max(FIXED[kind], key=lambda name: taoa(tuned[name]).mean())
    chosen = [max((g for g in GATES[kind] if g.startswith(f)), key=lambda g: taoa(tuned[g]).mean()) for f in FAMILIES]
    twins = {gate: f"{YOKED[kind]}{mean_moments(tuned[gate])}" for gate in chosen}
    runs = run(stream, [fixed, *chosen, *twins.values()], held_out, asked)
    best = taoa(runs[fixed])
    print(f"\n### {kind} on `{stream}`: gates against fixed schedules, {asked.seeds} held-out seeds\n")
    print(
        f"Best fixed of {len(FIXED[kind])} on the tuning seeds: `{fixed}`, TAOA {interval_text(mean_interval(best))}, ",
        end="",
    )
    print(f"{np.mean([len(moments(result)) for result in runs[fixed]]):.0f} events.\n")
    heads = ("gated schedule", "events", "TAOA", "over the best fixed", "over its yoked twin", "mean width, twin's")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for gate in chosen:
        own, twin = runs[gate], runs[twins[gate]]
        widths = [np.mean([mean_width(result) for result in results]) for results in (own, twin)]
        cells = [
            f"`{gate}`",
            f"{np.mean([len(moments(result)) for result in own]):.0f}",
            interval_text(mean_interval(taoa(own))),
            interval_text(paired_difference(taoa(own), best), "+", digits=4),
            interval_text(paired_difference(taoa(own), taoa(twin)), "+", digits=4),
            f"{widths[0]:.1f}, {widths[1]:.1f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def run(
    stream: str, methods: Sequence[str], seeds: Sequence[int], asked: argparse.Namespace
) -> dict[str, list[Result]]:
    """Results by method as it is written."""
    study = Study(stream, methods, tuple(seeds))
    finished = run_study(study, asked.out / stream, threads=asked.threads, show_progress=False)
    assert not finished.failures, finished.failures
    return dict(zip(methods, finished.results.values(), strict=True))


def taoa(results: Sequence[Result]) -> np.ndarray:
    """By seed."""
    return np.array([result.taoa() for result in results])


def moments(result: Result) -> list[int]:
    """Updates at which units were born."""
    return [start for start, born in zip(result.rows["start"], result.rows["newborns"], strict=True) if any(born)]


def mean_moments(results: Sequence[Result]) -> str:
    """The i-th event's mean update over seeds, as a tuple in Python, for as many events as the median seed has."""
    found = [moments(result) for result in results]
    events = int(np.median([len(one) for one in found]))
    means = [round(float(np.mean([one[i] for one in found if len(one) > i]))) for i in range(events)]
    return f"({','.join(map(str, means))},)"


def mean_width(result: Result) -> float:
    """Live units per layer, averaged over updates."""
    steps = np.diff([*result.rows["start"], result.rows["stop"][-1]])
    return float(np.average([np.mean(live) for live in result.rows["live"]], weights=steps))


def draw(found: Mapping[tuple[str, float], Sequence[tuple[float, Interval]]], picture: Path) -> None:
    """TAOA against time to integrate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for ax, stream in zip(figure.subplots(1, len(STREAMS)), STREAMS, strict=True):
        for at, until in enumerate(UNTIL):
            times, intervals = zip(*found[stream, until], strict=True)
            mean, low, high = np.array(intervals).T
            label = f"growth within {until:.0%} of the stream"
            ax.errorbar(
                times, mean, (mean - low, high - mean), fmt="os"[at] + "-", color=colour(at), label=label, capsize=3
            )
        ax.set(xscale="log", title=stream, xlabel="time to integrate (updates between cohorts)", ylabel="TAOA")
        ax.set_xticks(TICKS, [f"{tick:,}" for tick in TICKS])
        ax.minorticks_off()
        ax.grid(color="0.92")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=len(UNTIL), frameon=False)
    write_atomically(picture, lambda path: figure.savefig(path, format="png", dpi=120))
    print(f"\n![TAOA against time to integrate]({picture.name})")


if __name__ == "__main__":
    main()
