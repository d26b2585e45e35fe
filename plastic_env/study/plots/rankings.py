"""Many methods side by side: a heat map over scenarios, a forest of differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.errors import look_up
from plastic_env.study.plots.style import QUIET, axes_or_new, say
from plastic_env.study.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SLANT = math.radians(30)  # of scenarios' names
UNKNOWN = "0.9"  # the grey of cells without a value


@dataclass(frozen=True)
class Scores:
    """A number for each method on each scenario; higher is better.

    values: [methods, scenarios]; NaN: unknown.
    """

    methods: Sequence[str]
    scenarios: Sequence[str]
    values: np.ndarray


def draw_heat_map(
    scores: Scores, ax: Axes | None = None, *, reference: str | None = None, form: str = ".3f", key: bool = True
) -> Axes:
    """Methods by scenarios, each value in its cell, the best of each column in bold.

    reference: None: colours are ranks within the column; a method: they are differences from its value there.
    form: format of the values. key: whether a colour bar is added to the axes' figure.

    Raises:
        UnknownName: no method is called `reference`.
    """
    if reference is not None:
        look_up(dict.fromkeys(scores.methods), reference, "reference method")
    rows, columns = len(scores.methods), len(scores.scenarios)
    left, top = (0.085 * max(map(len, names), default=0) for names in (scores.methods, scores.scenarios))  # inches
    size = (0.8 + left + 0.9 * columns + top * math.cos(SLANT), 1.2 + 0.32 * rows + top * math.sin(SLANT))
    ax = axes_or_new(ax, (max(size[0], 4.8), size[1]))
    if not np.isfinite(scores.values).any():
        return say("nothing measured", ax)
    values = np.asarray(scores.values, dtype=float)
    shades, look, meaning = _ranked(values) if reference is None else _compared(scores, reference)
    mesh = ax.pcolormesh(np.ma.masked_invalid(shades), edgecolors="white", linewidth=1, **look)
    ax.set_facecolor(UNKNOWN)
    _write_values(values, shades, mesh, ax, form)
    ax.set_xticks(
        np.arange(columns) + 0.5,
        list(scores.scenarios),
        rotation=math.degrees(SLANT),
        ha="left",
        rotation_mode="anchor",
    )
    ax.set_yticks(np.arange(rows) + 0.5, list(scores.methods))
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    ax.spines[:].set_visible(False)
    if key:
        from matplotlib.ticker import MaxNLocator

        ticks = MaxNLocator(6, integer=reference is None)
        ax.figure.colorbar(mesh, ax=ax, label=meaning, pad=0.02, location="bottom", aspect=40, ticks=ticks)
    return ax


def draw_forest(differences: Mapping[str, Interval], ax: Axes | None = None, *, of: str = "difference") -> Axes:
    """Differences with their intervals around a line at zero, the largest at the top; written out on the right.

    Filled: the interval leaves zero out. of: what the differences are of, and from what.
    """
    known = {name: interval for name, interval in differences.items() if math.isfinite(interval.mean)}
    order = sorted(known, key=lambda name: known[name].mean)
    ax = axes_or_new(ax, (7.2, 1.2 + 0.3 * max(3, len(order))))
    ax.set_xlabel(of)
    if not order:
        return say("no differences to show", ax)
    ax.axvline(0, color=QUIET, linewidth=0.8)
    for row, name in enumerate(order):
        mean, low, high = known[name]
        certain = low > 0 or high < 0
        if math.isfinite(low):
            ax.hlines(row, low, high, color="black", linewidth=1.4)
        ax.plot([mean], [row], "o", color="black", markersize=6, markerfacecolor="black" if certain else "white")
        interval = f"[{low:+.3f}, {high:+.3f}]" if math.isfinite(low) else "[one seed]"
        where: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "annotation_clip": False}
        ax.annotate(f"{mean:+.3f} {interval}", (1.02, row), va="center", fontsize=9, family="monospace", **where)
    ax.set_yticks(range(len(order)), order)
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.grid(axis="x", color="0.9")
    ax.locator_params(axis="x", nbins=6)
    ax.set_axisbelow(True)
    return ax


def readable_on(fill: Sequence[float] | np.ndarray) -> str:
    """Black or white, whichever contrasts more with a colour [red, green, blue] in 0 .. 1, by WCAG 2's luminance."""
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in fill]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each of `values` [methods, scenarios] within its column, 1 for the highest; equal ones share the mean of
    their ranks, and NaN has none."""
    higher = (values[None] > values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return np.where(np.isfinite(values), higher + (equal + 1) / 2, np.nan)


def _write_values(values: np.ndarray, shades: np.ndarray, mesh: Any, ax: Axes, form: str) -> None:
    """Each in its cell of the mesh, whose shades are these; the best of a column in bold; all [rows, columns]."""
    best = np.max(np.where(np.isfinite(values), values, -np.inf), axis=0)
    for row, column in np.ndindex(values.shape):
        value, shade = values[row, column], shades[row, column]
        known = math.isfinite(value)
        fill = mesh.cmap(mesh.norm(shade))[:3] if math.isfinite(shade) else (float(UNKNOWN),) * 3
        ax.text(
            column + 0.5,
            row + 0.5,
            format(value, form) if known else "-",
            ha="center",
            va="center",
            fontsize=9,
            color=readable_on(fill),
            fontweight="bold" if known and value == best[column] else "normal",
        )


def _ranked(values: np.ndarray) -> tuple[np.ndarray, dict[str, Any], str]:
    return ranks(values), {"cmap": "cividis_r", "vmin": 1, "vmax": max(2, len(values))}, "rank in the column"


def _compared(scores: Scores, reference: str) -> tuple[np.ndarray, dict[str, Any], str]:
    found = scores.values - scores.values[list(scores.methods).index(reference)]
    most = float(np.nanmax(np.abs(found), initial=0)) or 1.0
    return found, {"cmap": "PuOr_r", "vmin": -most, "vmax": most}, f"difference from {reference}"
