"""Width through time: live units by when they were born."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.study.plots.style import axes_or_new, label_outer, mark_shifts, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

FOUNDERS = "0.92"  # their grey: brighter than every birth
MAP, MOST = "viridis", 0.87  # lightness rises with birth, and ends well before white


@dataclass(frozen=True)
class River:
    """How many units were live through time, by birth.

    updates: [points] from each of which on the counts stand. end: where the last ones end.
    edges: [groups + 1] updates; births of edges[g] <= update < edges[g + 1] are one group, and so are the founders.
    live: [groups + 1, points] live units of the founders and of each group; NaN: nobody lived on.
    shifts: [shifts] updates.
    """

    updates: np.ndarray
    end: int
    edges: np.ndarray
    live: np.ndarray
    shifts: np.ndarray


def draw_river(river: River, ax: Axes | None = None, *, key: bool = True) -> Axes:
    """Live units as stacked areas, the oldest at the bottom: founders grey, then the earlier born, the darker.

    key: whether a colour bar of births is drawn beside it, and thereby added to the axes' figure.
    """
    ax = axes_or_new(ax)
    x = np.append(river.updates, river.end)
    live = np.concatenate([river.live, river.live[:, -1:]], axis=1)  # the last count stands until the end
    known = np.isfinite(live).all(0)
    tops = np.vstack([np.zeros(len(x)), np.where(known, live, 0).cumsum(0)])
    shades = _shades(river)
    middles = (river.edges[:-1] + river.edges[1:]) / 2
    colours = [FOUNDERS, *(shades.to_rgba(middle) for middle in middles)]
    for at, fill in enumerate(colours):
        there = live[at] > 0
        if there.any():
            ax.fill_between(x, tops[at], tops[at + 1], where=_until_next(there), step="post", color=fill, linewidth=0)
            line = np.where(there, tops[at + 1], np.nan)
            ax.plot(x, line, drawstyle="steps-post", color="white", linewidth=0.5)
    ax.plot(x, np.where(known, tops[-1], np.nan), drawstyle="steps-post", color="black", linewidth=1.2)
    if not _has_births(river):
        ax.text(0.02, 0.05, "no births", transform=ax.transAxes)
    elif key:
        ax.figure.colorbar(shades, ax=ax, label=_KEY, **_BAR)
    mark_shifts(river.shifts, ax)
    ax.set(xlabel="update (tick marks at the top: shifts)", ylabel="live units", xlim=(river.updates[0], river.end))
    ax.set_ylim(0, _height(river))
    return ax


def river_figure(title: str, methods: Mapping[str, River], columns: int = 2) -> Figure:
    """A river per method, on equal axes, with one colour bar of births; the rivers have the same edges."""
    figure, grid = panels(title, list(methods), (5.2, 2.5), columns)
    for ax, river in zip(grid, methods.values(), strict=True):
        draw_river(river, ax, key=False)
    if grid:
        grid[0].set_ylim(0, max(_height(river) for river in methods.values()))
        label_outer(grid)
    if any(_has_births(river) for river in methods.values()):
        figure.colorbar(_shades(next(iter(methods.values()))), ax=figure.axes, label=_KEY, **_BAR)
    return figure


_KEY = "born at update (founders: grey)"
_BAR: dict[str, Any] = {"spacing": "proportional", "pad": 0.02}


def _shades(river: River) -> ScalarMappable:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    groups = len(river.edges) - 1
    colours = ListedColormap(colormaps[MAP](np.linspace(0, MOST, groups)))
    return ScalarMappable(BoundaryNorm(river.edges, groups), colours)


def _height(river: River) -> float:
    """Of axes that hold it."""
    return 1.08 * max(1.0, float(np.max(np.nansum(river.live, 0))))


def _has_births(river: River) -> bool:
    return bool((river.live[1:] > 0).any())


def _until_next(there: np.ndarray) -> np.ndarray:
    """Areas are filled between neighbouring points that both count: let those after the last one do, too."""
    return there | np.append(False, there[:-1])
