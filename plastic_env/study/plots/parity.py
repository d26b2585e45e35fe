"""How newborn units fare among older ones: their log-parity by age, and activation against gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.study.plots.style import (
    MARKERS,
    NO_BIRTHS,
    NO_NEWBORNS,
    QUIET,
    Band,
    axes_or_new,
    colour,
    draw_band,
    label_lines,
    label_outer,
    line_style,
    panels,
    ratio_axis,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUADRANTS = {
    (0, 1): "forward-active\nbackward-starved",
    (1, 1): "forward-active\nbackward-fed",
    (0, 0): "forward-quiet\nbackward-starved",
    (1, 0): "forward-quiet\nbackward-fed",
}  # by corner: right, top


@dataclass(frozen=True)
class Geometry:
    """Where cohorts stand among older units, [cohorts] log-parities each.

    birth_activation, birth_gradient: right after birth. end_activation, end_gradient: when last seen.
    """

    birth_activation: np.ndarray
    birth_gradient: np.ndarray
    end_activation: np.ndarray
    end_gradient: np.ndarray

    @property
    def birth(self) -> np.ndarray:
        """[cohorts, 2] gradient and activation."""
        return np.stack([self.birth_gradient, self.birth_activation], 1)

    @property
    def end(self) -> np.ndarray:
        """[cohorts, 2] gradient and activation."""
        return np.stack([self.end_gradient, self.end_activation], 1)


def draw_parity_by_age(methods: Mapping[str, Band], ax: Axes | None = None, *, of: str = "gradient") -> Axes:
    """Parity of cohorts against their age: median and quartiles, a line at 1, where they equal the units before them.

    methods: x is an age in updates, the rest log-parities; no points: nobody was born. of: what the parity is of.
    """
    ax = axes_or_new(ax)
    ax.set(xlabel="age of the cohort (updates)", ylabel=f"{of} parity (median, quartiles)")
    ratios = {name: band.map(np.exp) for name, band in methods.items()}
    seen = [values[np.isfinite(values)] for r in ratios.values() for values in (r.low, r.middle, r.high)]
    shown = np.concatenate([np.zeros(0), *seen])
    if not shown.size:
        return say(NO_BIRTHS, ax)
    ax.axhline(1, color=QUIET, linewidth=0.8)
    finals = {name: draw_band(band, ax, line_style(at, len(band))) for at, (name, band) in enumerate(ratios.items())}
    ratio_axis(ax, "y", shown.min(), shown.max())
    ax.grid(axis="y", color="0.9")
    ax.margins(x=0.02)
    return label_lines(finals, ax, absent=NO_NEWBORNS)


def draw_geometry(methods: Mapping[str, Geometry], ax: Axes | None = None, *, cohorts: bool = True) -> Axes:
    """Activation parity against gradient parity: each cohort goes from its birth (hollow) to its end (filled).

    Thin: one cohort; thick, with an arrow: from the median birth of a method's cohorts to their median end
    (arXiv 2605.15435: newborns are forward-active and backward-starved). cohorts: whether single ones are shown.
    """
    ax = axes_or_new(ax, (7.6, 6.2))
    kept = {name: _paths(geometry) for name, geometry in methods.items()}
    if not _draw_field(list(kept.values()), ax, cohorts):
        return ax
    for at, paths in enumerate(kept.values()):
        _draw_paths(paths, ax, at, cohorts)
    ends = {name: float(np.median(paths[:, 1, 1])) if len(paths) else np.nan for name, paths in kept.items()}
    return label_lines(ends, ax, lines=False, absent=NO_NEWBORNS)


def geometry_figure(title: str, methods: Mapping[str, Geometry], columns: int = 2) -> Figure:
    """`draw_geometry` in a panel for each method that has newborns, on equal axes; the title names the others."""
    kept = {name: _paths(geometry) for name, geometry in methods.items()}
    shown = [name for name, paths in kept.items() if len(paths)]
    without = [name for name in kept if name not in shown]
    if without:
        title = f"{title}\n{NO_NEWBORNS}: {', '.join(without)}"
    figure, grid = panels(title, shown, (4.2, 3.6), columns, empty=NO_BIRTHS)
    for ax, name in zip(grid, shown, strict=True):
        _draw_field(list(kept.values()), ax)
        _draw_paths(kept[name], ax, list(kept).index(name))
    label_outer(grid)
    return figure


def _paths(geometry: Geometry) -> np.ndarray:
    """Ratios [cohorts, birth and end, gradient and activation] of the cohorts of which all are known."""
    logs = np.stack([geometry.birth, geometry.end], 1)
    return np.exp(logs[np.isfinite(logs).all((1, 2))])


def _draw_field(kept: Sequence[np.ndarray], ax: Axes, cohorts: bool = True) -> bool:
    """Scales, quadrants and labels around the paths of all methods; False if there is none, which is said."""
    ax.set(xlabel="gradient parity (1: equal to older units)", ylabel="activation parity (1: equal to older units)")
    shown = [paths if cohorts else np.median(paths, 0, keepdims=True) for paths in kept if len(paths)]
    if not shown:
        say(NO_BIRTHS, ax)
        return False
    every = np.concatenate(shown).reshape(-1, 2)
    for which, low, high in zip("xy", every.min(0), every.max(0), strict=True):
        ratio_axis(ax, which, min(low, 0.5), max(high, 2), margin=0.15)  # room for the quadrants' names
    ax.axvline(1, color=QUIET, linewidth=0.8)
    ax.axhline(1, color=QUIET, linewidth=0.8)
    for (right, top), text in QUADRANTS.items():
        place: dict[str, Any] = {"ha": "right" if right else "left", "va": "top" if top else "bottom"}
        x, y = (0.985 if far else 0.015 for far in (right, top))
        ax.text(x, y, text, transform=ax.transAxes, fontsize=8, color=QUIET, **place)
    return True


def _draw_paths(paths: np.ndarray, ax: Axes, at: int, cohorts: bool = True) -> None:
    """Draw one method's cohorts, and their medians."""
    if not len(paths):
        return
    mine, marker = colour(at), MARKERS[at % len(MARKERS)]
    if cohorts:
        ax.plot(*paths.transpose(2, 1, 0), color=mine, linewidth=0.5, alpha=0.25)
        small: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 3, "alpha": 0.45, "color": mine}
        ax.plot(*paths[:, 0].T, **small, markerfacecolor="none", markeredgewidth=0.6)
        ax.plot(*paths[:, 1].T, **small, markeredgewidth=0)
    birth, end = np.median(paths, 0)
    arrow = {"arrowstyle": "-|>", "color": mine, "linewidth": 1.8, "shrinkA": 4, "shrinkB": 4}
    ax.annotate("", end, birth, arrowprops=arrow, zorder=4)
    large: dict[str, Any] = {"marker": marker, "markersize": 9, "color": mine, "linestyle": "none", "zorder": 5}
    ax.plot(*birth, **large, markerfacecolor="white", markeredgewidth=1.6)
    ax.plot(*end, **large, markeredgecolor="white", markeredgewidth=0.8)
