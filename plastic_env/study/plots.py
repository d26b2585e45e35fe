"""Pictures of studies. Arrays in, axes out; nothing is saved here, and matplotlib is loaded on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.study.stats import mean_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colour-blind safe palette, ordered so that neighbours differ in lightness too
COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F", "#8C6D1F", "#3B3B98")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)))
MARKERS = "os^Dv*PXdp<>"


@dataclass(frozen=True)
class Curves:
    """What is drawn of one method.

    task_ends: [tasks] the update after each task. accuracy: [seeds, tasks] average online accuracy.
    by_task: whether it is drawn by tasks; where those differ from seed to seed, it is by equal stretches.
    width: [seeds, tasks] mean live units per editable layer, and parity: [seeds, tasks] log gradient parity of
    the newest cohort, both at the tasks' ends; NaN: not measured. edits: updates at which any seed was edited.
    """

    task_ends: np.ndarray
    accuracy: np.ndarray
    width: np.ndarray
    parity: np.ndarray
    edits: np.ndarray
    by_task: bool = True


def plasticity_figure(title: str, methods: Mapping[str, Curves]) -> Figure:
    """Average online accuracy per task; below it edits, live width and newborn gradient parity by method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 10.2 + 0.22 * len(methods)), layout="constrained")
    heights = (5.2, 0.55 + 0.22 * len(methods), 2.1, 2.1)
    top, raster, width, parity = figure.subplots(4, 1, sharex=True, height_ratios=heights)
    draw_accuracy(methods, top)
    by_task = all(curves.by_task for curves in methods.values())
    part = "task" if by_task else "stretch"
    top.set_title(f"{title}: online accuracy per {part}, mean and 95 % band over {_seeds(methods)} seeds", fontsize=11)
    draw_edits(methods, raster)
    draw_lines({name: c.width for name, c in methods.items()}, _ends(methods), width)
    width.set_ylabel("live width\n(units per layer)")
    draw_lines({name: np.exp(c.parity) for name, c in methods.items()}, _ends(methods), parity)
    parity.axhline(1, color="0.4", linewidth=0.8)
    parity.set(
        yscale="log",
        ylabel="newborn gradient parity\n(newest cohort; 1: equal)",
        xlabel="update (tick marks at the top of each panel: shifts)" if by_task else "update",
    )
    parity.set_yticks([1 / 64, 1 / 16, 1 / 4, 1, 4], ["1/64", "1/16", "1/4", "1", "4"])
    parity.minorticks_off()
    for ax in (top, width, parity):
        if by_task:
            mark_shifts(_ends(methods)[:-1], ax)
        ax.margins(x=0.01)
    return figure


def draw_accuracy(methods: Mapping[str, Curves], ax: Axes) -> Axes:
    """Mean accuracy per task and its band over seeds, one line per method, names beside the lines."""
    finals = {}
    for at, (name, curves) in enumerate(methods.items()):
        centres = _centres(curves.task_ends)
        mean, low, high = mean_bands(curves.accuracy)
        ax.fill_between(centres, low, high, color=COLOURS[at % len(COLOURS)], alpha=0.18, linewidth=0)
        ax.plot(centres, mean, **_style(at, len(centres)), label=name)
        finals[name] = float(mean[-max(1, len(mean) // 8) :].mean())
    label_lines(finals, ax)
    ax.set_ylabel("average online accuracy")
    ax.grid(axis="y", color="0.9")
    return ax


def draw_edits(methods: Mapping[str, Curves], ax: Axes) -> Axes:
    """A row per method, with a stroke at every update where it edits."""
    for at, curves in enumerate(methods.values()):
        ax.plot(curves.edits, np.full(len(curves.edits), at), "|", color=COLOURS[at % len(COLOURS)], markersize=7)
    ax.set_yticks(range(len(methods)), list(methods), fontsize=8)
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.set_ylabel("edits")
    return ax


def draw_lines(methods: Mapping[str, np.ndarray], ends: np.ndarray, ax: Axes) -> Axes:
    """Means over seeds of values [seeds, tasks] at the tasks' ends; what was never measured is left out."""
    for at, values in enumerate(methods.values()):
        measured = np.isfinite(values).any(0)
        if measured.any():
            ax.plot(ends[measured], np.nanmean(values[:, measured], 0), **_style(at, int(measured.sum())))
    ax.grid(axis="y", color="0.9")
    return ax


def mark_shifts(shifts: Sequence[int] | np.ndarray, ax: Axes) -> Axes:
    """A short stroke at the top for every shift."""
    ax.plot(shifts, np.full(len(shifts), 0.985), "|", color="0.35", markersize=5, transform=ax.get_xaxis_transform())
    return ax


def label_lines(heights: Mapping[str, float], ax: Axes) -> Axes:
    """Each method's name and line to the right of the axes, where its curve ends, moved apart where they overlap."""
    low, high = ax.get_ylim()
    gap = (high - low) / 24
    order = sorted(heights, key=lambda name: heights[name])
    places = _spread([heights[name] for name in order], gap, low + gap / 2, high - gap / 2)
    names = list(heights)
    for name, place in zip(order, places, strict=True):
        style = _style(names.index(name), 1)
        ax.plot(
            [1.015, 1.055],
            [place, place],
            color=style["color"],
            linestyle=style["linestyle"],
            linewidth=1.8,
            transform=ax.get_yaxis_transform(),
            clip_on=False,
        )
        ax.plot(
            [1.035],
            [place],
            style["marker"],
            color=style["color"],
            markersize=5,
            transform=ax.get_yaxis_transform(),
            clip_on=False,
        )
        ax.annotate(
            name, (1.065, place), xycoords=ax.get_yaxis_transform(), va="center", fontsize=9, annotation_clip=False
        )
    ax.set_ylim(low, high)
    return ax


def _spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights moved as little as needed to stand at least `gap` apart, within low and high if they fit."""
    places: list[float] = []
    for height in heights:
        places.append(max(height, places[-1] + gap) if places else max(height, low))
    excess = places[-1] - high
    if excess > 0:
        places[-1] = high
        for at in reversed(range(len(places) - 1)):
            places[at] = min(places[at], places[at + 1] - gap)
    return places


def _style(at: int, points: int) -> dict[str, Any]:
    """Line style of method number `at`: colour, dashes and marker all differ, so that it reads in greyscale."""
    every = max(1, points // 8)
    return {
        "color": COLOURS[at % len(COLOURS)],
        "linestyle": DASHES[at % len(DASHES)],
        "marker": MARKERS[at % len(MARKERS)],
        "markevery": (at * every // 10 % every, every),
        "markersize": 5,
        "linewidth": 1.5,
    }


def _centres(ends: np.ndarray) -> np.ndarray:
    return (np.concatenate([[0], ends[:-1]]) + ends) / 2


def _ends(methods: Mapping[str, Curves]) -> np.ndarray:
    return next(iter(methods.values())).task_ends


def _seeds(methods: Mapping[str, Curves]) -> int:
    return max(len(curves.accuracy) for curves in methods.values())
