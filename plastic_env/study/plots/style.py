"""What all pictures share: colours, dashes and markers of methods, names beside lines, axes of ratios.

A method's style follows from its place among the methods that a picture is given: give all pictures of a study the same
methods in the same order, those with nothing to show included, and each looks alike everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.study.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

# Okabe & Ito's colour-blind safe palette, ordered so that neighbours differ in lightness too
COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F", "#8C6D1F", "#3B3B98")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)))
MARKERS = "os^Dv*PXdp<>"
NO_NEWBORNS = "no newborns"
NO_BIRTHS = "no unit was born beside older ones"
QUIET = "0.4"  # of what is beside the point: reference lines, remarks
LABEL_SIZE = 9  # points
MOST_TICKS = 7


@dataclass(frozen=True)
class Band:
    """A curve and what lies around it.

    x: [points] ascending. middle: [points] a mean or a median. low, high: [points] the band's ends; NaN: there is none.
    """

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Band:
        """The same points with other heights, by an increasing function."""
        return Band(self.x, function(self.middle), function(self.low), function(self.high))


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (7.2, 4.4)) -> Axes:
    """`ax` itself, or the axes of a new figure of that size in inches; pyplot knows nothing of it."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def panels(
    title: str,
    names: Sequence[str],
    size: tuple[float, float],
    columns: int = 2,
    *,
    empty: str = "no method to show",
) -> tuple[Figure, list[Axes]]:
    """A figure with axes for each name, alike in their limits.

    size: of each in inches. empty: what a figure without names says.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = max(1, min(columns, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(size[0] * columns + 0.9, size[1] * rows + 0.6), layout=ConstrainedLayoutEngine(w_pad=0.1))
    figure.suptitle(title, fontsize=11)
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for ax, name in zip(grid, names, strict=False):
        ax.set_title(name, fontsize=10)
    if not names:
        say(empty, grid[0])
        return figure, []
    for ax in grid[len(names) :]:
        ax.set_axis_off()
    for ax in grid[max(0, len(names) - columns) : len(names)]:
        ax.xaxis.set_tick_params(labelbottom=True)  # nobody stands below it
    return figure, grid[: len(names)]


def label_outer(grid: Sequence[Axes]) -> None:
    """Keep labels of axes only on the left and at the bottom of `panels`."""
    for at, ax in enumerate(grid):
        spec = ax.get_subplotspec()
        assert spec is not None
        if not spec.is_first_col():
            ax.set_ylabel("")
        if at + spec.get_gridspec().ncols < len(grid):
            ax.set_xlabel("")


def colour(at: int) -> str:
    """Of method number `at`."""
    return COLOURS[at % len(COLOURS)]


def line_style(at: int, points: int) -> dict[str, Any]:
    """Line style of method number `at`: colour, dashes and marker all differ, so that it reads in greyscale."""
    every = max(1, points // 8)
    return {
        "color": colour(at),
        "linestyle": DASHES[at % len(DASHES)],
        "marker": MARKERS[at % len(MARKERS)],
        "markevery": (at * every // 10 % every, every),
        "markersize": 5,
        "linewidth": 1.5,
    }


def draw_band(band: Band, ax: Axes, style: Mapping[str, Any], **filling: Any) -> float:
    """One curve with its band; returns the height at which it ends, NaN if it has no point."""
    kept = np.isfinite(band.middle)
    x, middle, low, high = (values[kept] for values in (band.x, band.middle, band.low, band.high))
    ax.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0, **filling)
    ax.plot(x, middle, **style)
    return end_height(middle)


def end_height(middle: np.ndarray) -> float:
    """Where a curve [points] stands over its last eighth; NaN if it has no point."""
    return float(np.mean(middle[-max(1, len(middle) // 8) :])) if len(middle) else math.nan


def draw_point(x: Interval, y: Interval, ax: Axes, at: int) -> Axes:
    """A method's marker at two means, with a bar for each interval that is known."""
    for interval, draw, other in ((x, ax.hlines, y.mean), (y, ax.vlines, x.mean)):
        if math.isfinite(interval.low) and math.isfinite(other):
            draw(other, interval.low, interval.high, color=colour(at), linewidth=1.2)
    marker = MARKERS[at % len(MARKERS)]
    size = 10 if marker == "*" else 7  # stars are slender
    style: dict[str, Any] = {
        "markersize": size,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "linestyle": "none",
    }
    ax.plot([x.mean], [y.mean], marker, color=colour(at), **style)
    return ax


def mark_shifts(shifts: Sequence[int] | np.ndarray, ax: Axes) -> Axes:
    """A short stroke at the top for every shift, [shifts] updates."""
    ax.plot(shifts, np.full(len(shifts), 0.985), "|", color="0.35", markersize=5, transform=ax.get_xaxis_transform())
    return ax


def label_lines(
    heights: Mapping[str, float], ax: Axes, *, lines: bool = True, absent: str = "nothing measured"
) -> Axes:
    """Each method's name and style to the right of the axes, where its curve ends, moved apart where they overlap.

    Call it last: what the axes show is fixed hereafter.

    lines: whether a piece of line is shown beside the marker.
    absent: what is said of the methods whose height is NaN.
    """
    names = list(heights)
    if not names:
        return ax
    ax.set_ylim(ax.get_ylim())
    shares = {name: _share(height, ax) for name, height in heights.items()}
    order = sorted(names, key=lambda name: shares[name])
    height = ax.bbox.height / ax.figure.dpi * 72  # points
    gap = min(max(1 / 24, 1.2 * LABEL_SIZE / height), 1 / len(names))
    size = min(LABEL_SIZE, gap * height / 1.1)
    beside: dict[str, Any] = {"transform": _right_of(ax), "clip_on": False}
    for name, place in zip(order, spread([shares[name] for name in order], gap, gap / 2, 1 - gap / 2), strict=True):
        if not math.isfinite(heights[name]):
            ax.text(0.14, place, f"{name}: {absent}", va="center", fontsize=size, color=QUIET, **beside)
            continue
        style = line_style(names.index(name), 1)
        if lines:
            dashes = {"color": style["color"], "linestyle": style["linestyle"]}
            ax.plot([0.14, 0.5], [place, place], **dashes, linewidth=1.8, **beside)
        ax.plot([0.32], [place], style["marker"], color=style["color"], markersize=5, **beside)
        ax.text(0.6, place, name, va="center", fontsize=size, **beside)
    return ax


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
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


def ratio_axis(ax: Axes, which: str, low: float, high: float, margin: float = 0.08) -> None:
    """Make the axis "x" or "y" one of ratios: logarithmic around 1, ticks at powers of 2, showing low, high and 1.

    margin: what is shown beyond, as a share.
    """
    least, most = math.log2(min(low, 1)), math.log2(max(high, 1))
    beyond = margin * max(most - least, 1)
    least, most = least - beyond, most + beyond
    step = math.ceil((most - least) / MOST_TICKS)
    ticks = range(math.ceil(least / step) * step, math.floor(most) + 1, step)
    getattr(ax, f"set_{which}scale")("log", base=2)
    getattr(ax, f"set_{which}ticks")([2.0**power for power in ticks], [_as_fraction(power) for power in ticks])
    getattr(ax, f"set_{which}ticks")([], minor=True)
    getattr(ax, f"set_{which}lim")(2**least, 2**most)


def say(text: str, ax: Axes, *, keep_x: bool = False) -> Axes:
    """Write why there is nothing to see, in axes without ticks, except for those of x if they are to be kept."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=QUIET)
    ax.tick_params(axis="y", which="both", left=False, labelleft=False)
    if not keep_x:
        ax.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    return ax


def _right_of(ax: Axes) -> Transform:
    """x: inches from the right end of the axes; y: a share of their height."""
    from matplotlib.transforms import BboxTransformTo, ScaledTranslation, blended_transform_factory

    right = ScaledTranslation(1, 0, BboxTransformTo(ax.bbox))
    return blended_transform_factory(ax.figure.dpi_scale_trans + right, ax.transAxes)


def _share(height: float, ax: Axes) -> float:
    """A height as a share of the axes', 0 to 1 inside of them; NaN is below everything."""
    if not math.isfinite(height):
        return -math.inf
    return float((ax.transScale + ax.transLimits).transform((ax.get_xlim()[0], height))[1])


def _as_fraction(power: int) -> str:
    return f"1/{2**-power}" if power < 0 else f"{2**power}"
