"""Time to integrate, as survival data: who still waits at which age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plastic_env.study.plots.style import (
    NO_BIRTHS,
    NO_NEWBORNS,
    Band,
    axes_or_new,
    colour,
    draw_band,
    label_lines,
    line_style,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Survival:
    """An estimate of who has not integrated yet, such as Kaplan and Meier's.

    time: [steps] ages in updates, ascending, from each of which on the shares stand. waiting: [steps] share of
    cohorts that have not integrated; 1 before the first step. low, high: [steps] its interval; NaN: there is none.
    censored: [cohorts] ages at which cohorts that had not integrated were last seen.
    """

    time: np.ndarray
    waiting: np.ndarray
    low: np.ndarray
    high: np.ndarray
    censored: np.ndarray


def draw_survival(methods: Mapping[str, Survival], ax: Axes | None = None) -> Axes:
    """Share of cohorts not yet integrated against age: steps with bands, and a tick for every censored cohort."""
    ax = axes_or_new(ax)
    ax.set(xlabel="age of the cohort (updates; ticks: last seen, not integrated)", ylabel="share not yet integrated")
    if not any(_known(survival) for survival in methods.values()):
        return say(NO_BIRTHS, ax)
    finals = {}
    for at, (name, survival) in enumerate(methods.items()):
        band = _whole(survival)
        finals[name] = draw_band(band, ax, line_style(at, len(band)) | {"drawstyle": "steps-post"}, step="post")
        censored = np.unique(survival.censored)
        if censored.size:
            heights = band.middle[np.searchsorted(band.x, censored, side="right") - 1]
            ax.plot(censored, heights, "|", color=colour(at), markersize=9, markeredgewidth=1.2)
    ax.set_ylim(-0.03, 1.03)
    ax.margins(x=0.02)
    ax.grid(axis="y", color="0.9")
    return label_lines(finals, ax, absent=NO_NEWBORNS)


def _known(survival: Survival) -> bool:
    return survival.time.size + survival.censored.size > 0


def _whole(survival: Survival) -> Band:
    """The steps with their beginning, where all wait, and with the last share held until the last was seen."""
    if not _known(survival):
        return Band(*(np.zeros(0),) * 4)
    last = max([*survival.time[-1:], *survival.censored])
    shares = (np.concatenate([[1.0], values]) for values in (survival.waiting, survival.low, survival.high))
    return Band(np.concatenate([[0], survival.time, [last]]), *(np.append(values, values[-1]) for values in shares))
