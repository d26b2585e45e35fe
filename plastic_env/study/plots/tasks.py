"""Accuracy within a task: how fast a new task is learnt, and whether that gets slower from task to task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plastic_env.study.plots.style import (
    Band,
    axes_or_new,
    draw_band,
    label_lines,
    label_outer,
    line_style,
    panels,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EarlyLate:
    """Accuracy by updates since a task began, over the first tasks of a stream and over its last ones."""

    early: Band  #: over the first tasks
    late: Band  #: over the last ones


def draw_since_shift(methods: Mapping[str, Band], ax: Axes | None = None) -> Axes:
    """Accuracy against updates since the shift, by method; x of the bands: updates, middle: a mean over tasks."""
    ax = axes_or_new(ax)
    finals = {name: draw_band(band, ax, line_style(at, len(band))) for at, (name, band) in enumerate(methods.items())}
    _finish(ax)
    return label_lines(finals, ax) if finals else say("no method to show", ax)


def draw_early_late(pair: EarlyLate, ax: Axes | None = None, *, at: int = 0, key: bool = True) -> Axes:
    """One method's accuracy against updates since the shift, early in the stream (dotted, hollow) and late (solid).

    Where the late curve lies below the early one, plasticity was lost. at: the method's place among the study's.
    key: whether a legend tells the two apart.
    """
    ax = axes_or_new(ax)
    for band, name, look in ((pair.early, "first tasks", _EARLY), (pair.late, "last tasks", _LATE)):
        draw_band(band, ax, line_style(at, len(band)) | look | {"label": name})
    if key:
        ax.legend(frameon=False, fontsize=9, loc="lower right")
    return _finish(ax)


def early_late_figure(title: str, methods: Mapping[str, EarlyLate], columns: int = 2) -> Figure:
    """Early and late accuracy within tasks, in a panel per method, on equal axes."""
    figure, grid = panels(title, list(methods), (4.4, 2.7), columns)
    for at, (ax, pair) in enumerate(zip(grid, methods.values(), strict=True)):
        draw_early_late(pair, ax, at=at)
    label_outer(grid)
    return figure


_EARLY: dict[str, Any] = {"linestyle": (0, (1, 1.2)), "markerfacecolor": "white"}
_LATE: dict[str, Any] = {"linestyle": "-"}


def _finish(ax: Axes) -> Axes:
    ax.set(xlabel="updates since the shift", ylabel="online accuracy")
    ax.grid(axis="y", color="0.9")
    ax.margins(x=0.01)
    return ax
