"""One accuracy against another, or against what it cost: a point per method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.study.plots.style import (
    QUIET,
    Band,
    axes_or_new,
    draw_band,
    draw_point,
    label_lines,
    line_style,
    say,
)
from plastic_env.study.stats import Interval, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class CycleTicket:
    """Two accuracies of one method: while its network was edited, and of the final mask retrained from scratch."""

    cycle: Interval  #: while it was edited
    ticket: Interval  #: of the final mask, retrained


@dataclass(frozen=True)
class Spending:
    """What one method's lives cost in multiply-accumulates, and the mean online accuracy that they reached."""

    macs: Interval  #: multiply-accumulates of a life
    taoa: Interval  #: mean online accuracy


def draw_cycle_ticket(methods: Mapping[str, CycleTicket], ax: Axes | None = None) -> Axes:
    """Accuracy of the final mask retrained from scratch against accuracy while editing, with the diagonal: a method
    above it found a mask that was worth more than what its own training made of it (arXiv 2605.15435)."""
    ax = axes_or_new(ax, (7.2, 5))
    ax.set(xlabel="cycle accuracy (while editing)", ylabel="ticket accuracy (retrained from scratch)")
    shown = {
        name: (m.cycle, m.ticket) for name, m in methods.items() if np.isfinite([m.cycle.mean, m.ticket.mean]).all()
    }
    if not shown:
        return say("no ticket was trained", ax)
    _draw_points(methods, shown, ax)
    ends = np.array([[interval for pair in shown.values() for part in pair for interval in part]])
    low, high = np.nanmin(ends), np.nanmax(ends)
    margin = 0.08 * max(high - low, 0.01)
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ax.axline((low, low), slope=1, color=QUIET, linewidth=0.8, zorder=0)
    return _label(methods, {name: ticket.mean for name, (_, ticket) in shown.items()}, ax)


def draw_spending(methods: Mapping[str, Spending], ax: Axes | None = None) -> Axes:
    """Mean online accuracy against compute, and the Pareto front: methods that no other beats at their cost."""
    ax = axes_or_new(ax)
    ax.set(xlabel="multiply-accumulates of one life", ylabel="mean online accuracy (TAOA)", xscale="log")
    shown = {name: (m.macs, m.taoa) for name, m in methods.items() if np.isfinite([m.macs.mean, m.taoa.mean]).all()}
    if not shown:
        return say("no method to show", ax)
    macs, taoa = (np.array([pair[part].mean for pair in shown.values()]) for part in (0, 1))
    front = pareto_front(macs, taoa)
    if macs.max() < 1.01 * macs.min():  # a logarithmic scale needs some width, before anything is drawn
        ax.set_xlim(macs.min() / 1.5, macs.max() * 1.5)
    steps: dict[str, Any] = {
        "drawstyle": "steps-post",
        "color": QUIET,
        "linewidth": 1,
        "linestyle": (0, (4, 2)),
        "zorder": 1.8,
    }
    # beyond the last of the front, more compute buys nothing
    ax.plot([*macs[front], macs.max()], [*taoa[front], taoa[front[-1]]], **steps, label="Pareto front")
    _draw_points(methods, shown, ax)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    ax.grid(color="0.92", which="both")
    ax.set_axisbelow(True)
    ax.margins(0.08)
    return _label(methods, {name: accuracy.mean for name, (_, accuracy) in shown.items()}, ax)


def draw_within(methods: Mapping[str, Band], ax: Axes | None = None, *, of: str = "multiply-accumulates") -> Axes:
    """Mean online accuracy over what a budget pays for, against the budget: read it along a vertical line.

    methods: x of the bands are budgets. of: what is spent.
    """
    ax = axes_or_new(ax)
    ax.set(xlabel=f"budget: {of}", ylabel="mean online accuracy so far")
    if not any(len(band) for band in methods.values()):
        return say("nothing is known of it", ax)
    finals = {name: draw_band(band, ax, line_style(at, len(band))) for at, (name, band) in enumerate(methods.items())}
    ax.grid(axis="y", color="0.9")
    ax.set_xlim(left=0)
    return label_lines(finals, ax)


def _draw_points(methods: Mapping[str, object], shown: Mapping[str, tuple[Interval, Interval]], ax: Axes) -> None:
    for at, name in enumerate(methods):
        if name in shown:
            draw_point(*shown[name], ax, at)


def _label(methods: Mapping[str, object], heights: Mapping[str, float], ax: Axes) -> Axes:
    return label_lines({name: heights.get(name, np.nan) for name in methods}, ax, lines=False)
