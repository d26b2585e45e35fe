"""Plasticity curves: accuracy task by task, and below it what was done to the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plastic_env.study.plots.style import (
    NO_BIRTHS,
    QUIET,
    Band,
    axes_or_new,
    colour,
    draw_band,
    label_lines,
    line_style,
    mark_shifts,
    ratio_axis,
    say,
)
from plastic_env.study.stats import mean_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    parts = " or ".join(dict.fromkeys("task" if curves.by_task else "stretch" for curves in methods.values()))
    top.set_title(f"{title}: online accuracy per {parts}, mean and 95 % band over {_seeds(methods)} seeds", fontsize=11)
    draw_edits(methods, raster)
    draw_lines(methods, lambda curves: curves.width, width)
    width.set_ylabel("live width\n(units per layer)")
    _draw_newest_parity(methods, parity)
    shifts = _shifts(methods)
    parity.set_xlabel("update (tick marks at the top of each panel: shifts)" if len(shifts) else "update")
    for ax in (top, width, parity):
        mark_shifts(shifts, ax)
        ax.margins(x=0.01)
    return figure


def draw_accuracy(methods: Mapping[str, Curves], ax: Axes | None = None) -> Axes:
    """Mean accuracy per task and its band over seeds, one line per method, names beside the lines."""
    ax, finals = axes_or_new(ax), {}
    for at, (name, curves) in enumerate(methods.items()):
        band = Band(_centres(curves.task_ends), *mean_bands(curves.accuracy))
        finals[name] = draw_band(band, ax, line_style(at, len(band)))
    label_lines(finals, ax)
    ax.set_ylabel("average online accuracy")
    ax.grid(axis="y", color="0.9")
    return ax


def draw_edits(methods: Mapping[str, Curves], ax: Axes | None = None) -> Axes:
    """A row per method, with a stroke at every update where it edits."""
    ax = axes_or_new(ax)
    for at, curves in enumerate(methods.values()):
        ax.plot(curves.edits, np.full(len(curves.edits), at), "|", color=colour(at), markersize=7)
    ax.set_yticks(range(len(methods)), list(methods), fontsize=8)
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.set_ylabel("edits")
    return ax


def draw_lines(methods: Mapping[str, Curves], values: Callable[[Curves], np.ndarray], ax: Axes | None = None) -> Axes:
    """Means over seeds at the tasks' ends; what was never measured is left out.

    values: takes what is drawn, [seeds, tasks], from a method's record.
    """
    ax = axes_or_new(ax)
    for at, curves in enumerate(methods.values()):
        drawn = values(curves)
        measured = np.isfinite(drawn).any(0)
        if measured.any():
            style = line_style(at, int(measured.sum()))
            ax.plot(curves.task_ends[measured], np.nanmean(drawn[:, measured], 0), **style)
    ax.grid(axis="y", color="0.9")
    return ax


def _draw_newest_parity(methods: Mapping[str, Curves], ax: Axes) -> None:
    ax.set_ylabel("newborn gradient parity\n(newest cohort; 1: equal)")
    if not any(np.isfinite(curves.parity).any() for curves in methods.values()):
        say(NO_BIRTHS, ax, keep_x=True)
        return
    draw_lines(methods, lambda curves: np.exp(curves.parity), ax)
    ax.axhline(1, color=QUIET, linewidth=0.8)
    ratio_axis(ax, "y", *ax.dataLim.intervaly)


def _centres(ends: np.ndarray) -> np.ndarray:
    return (np.concatenate([[0], ends[:-1]]) + ends) / 2


def _shifts(methods: Mapping[str, Curves]) -> np.ndarray:
    """Those of all methods; none where they differ, from seed to seed or from method to method."""
    ends = [curves.task_ends for curves in methods.values()]
    alike = all(curves.by_task for curves in methods.values()) and all(np.array_equal(one, ends[0]) for one in ends)
    return ends[0][:-1] if alike and ends else np.zeros(0)


def _seeds(methods: Mapping[str, Curves]) -> int:
    return max(len(curves.accuracy) for curves in methods.values())
