"""Pictures of a learner while it lives: its units coloured by age, its accuracy below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plastic_env.env.episode import Outcome
from plastic_env.learner.state import Units

RENDER_MODES = ["ansi", "rgb_array"]
BAR = 40  # characters


@dataclass(frozen=True)
class Frame:
    """What is drawn: the units of each editable layer, and the episode's outcomes so far."""

    units: Sequence[Units]
    capacity: Sequence[int]
    updates: int  # of the whole stream
    outcomes: Sequence[Outcome]

    @property
    def position(self) -> int:
        """Updates of the stream used up."""
        return self.outcomes[-1].stop if self.outcomes else 0

    def ages(self, layer: int) -> np.ndarray:
        """[slots] updates since birth, NaN where dormant."""
        ages = np.full(self.capacity[layer], np.nan)
        ages[self.units[layer].slot] = self.position - self.units[layer].born
        return ages

    def newest(self, layer: int) -> np.ndarray:
        """Slots of the newest cohort; none while there are only founders."""
        units = self.units[layer]
        return units.slot[(units.cohort == units.cohort.max()) & (units.cohort > 0)]


def as_text(frame: Frame) -> str:
    """Layers as bars: '#' incumbents, '+' newest cohort, '.' dormant slots."""
    lines = [f"update {frame.position} of {frame.updates}"]
    if frame.outcomes:
        latest = frame.outcomes[-1]
        lines[0] += f", online accuracy {latest.accuracy.mean():.3f}"
    for layer, slots in enumerate(frame.capacity):
        live, newest = len(frame.units[layer]), len(frame.newest(layer))
        old = round(BAR * (live - newest) / slots)
        young = round(BAR * live / slots) - old
        bar = "#" * old + "+" * young
        lines.append(f"layer {layer} [{bar:.<{BAR}}] {live} of {slots} live, {newest} newest")
    return "\n".join(lines) + "\n"


def as_array(frame: Frame) -> np.ndarray:
    """An image [height, width, 3] uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 1))
    grid = np.full((len(frame.capacity), max(frame.capacity)), np.nan)
    for layer, slots in enumerate(frame.capacity):
        grid[layer, :slots] = frame.ages(layer)
        newest = frame.newest(layer)
        top.plot(newest, np.full(len(newest), layer), "o", color="black", markersize=3)
    top.set_facecolor("0.9")
    image = top.imshow(
        grid, aspect="auto", cmap="viridis", vmin=0, vmax=max(1, frame.position), interpolation="nearest"
    )
    figure.colorbar(image, ax=top, label="age (updates)")
    top.set(
        yticks=range(len(frame.capacity)), ylabel="editable layer", xlabel="slot (grey: dormant, dots: newest cohort)"
    )
    ends = [outcome.stop for outcome in frame.outcomes]
    bottom.plot(ends, [outcome.accuracy.mean() for outcome in frame.outcomes], "k.-")
    bottom.set(xlim=(0, frame.updates), ylim=(0, 1), xlabel="update", ylabel="online accuracy")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
