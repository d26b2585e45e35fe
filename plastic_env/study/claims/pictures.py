"""Pictures that show a claim; each draws onto an empty figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from plastic_env.study import measures, plots
from plastic_env.study.plots import Band, draw_accuracy, draw_cycle_ticket, draw_survival, label_lines
from plastic_env.study.plots.style import draw_band, draw_point, line_style
from plastic_env.study.results import ByMethod, Result
from plastic_env.study.stats import mean_bands, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")


def draw_tickets(shown: Mapping[str, tuple[ByMethod, ByMethod]], figure: Figure) -> None:
    """Ticket against cycle accuracy, by title."""
    for ax, (title, (lives, tickets)) in _panels(figure, shown, 5.4, 4.2):
        draw_cycle_ticket({name: measures.cycle_ticket(lives[name], tickets[name]) for name in lives}, ax)
        ax.set_title(title, fontsize=10)


def draw_checkpoints(shown: Mapping[str, ByMethod], figure: Figure) -> None:
    """Test accuracy at the end of each cycle, by title."""
    for ax, (title, lives) in _panels(figure, shown, 5.4, 4.0):
        finals = {}
        for at, (name, results) in enumerate(lives.items()):
            reached = np.stack([measures.checkpoint_accuracy(result) for result in results])
            cycles = np.arange(1, reached.shape[1] + 1)
            finals[name] = draw_band(Band(cycles, *mean_bands(reached)), ax, line_style(at, len(cycles)))
        label_lines(finals, ax)
        ax.set(xlabel="cycle", ylabel="test accuracy at its end", xticks=cycles)
        ax.set_title(title, fontsize=10)
        ax.grid(axis="y", color="0.9")


def draw_geometry(shown: ByMethod, cycle: int, figure: Figure) -> None:
    """Activation against gradient parity, at birth and at the end of the cycle."""
    figure.set_size_inches(7.6, 6.2)
    plots.draw_geometry({name: measures.geometry(runs, cycle) for name, runs in shown.items()}, figure.subplots())


def draw_prediction(
    names: Sequence[str], parity: np.ndarray, reached: np.ndarray, retrained: np.ndarray, figure: Figure
) -> None:
    """Accuracies [seeds, methods] against early gradient parity [seeds, methods]: a point per method."""
    for ax, (what, values) in _panels(figure, {"cycle TAA": reached, "ticket ACC": retrained}, 5.4, 4.2):
        heights = {}
        for at, name in enumerate(names):
            draw_point(mean_interval(parity[:, at]), mean_interval(values[:, at]), ax, at)
            heights[name] = float(values[:, at].mean())
        label_lines(heights, ax, lines=False)
        ax.set(xlabel="early gradient log-parity", ylabel=what)
        ax.grid(color="0.92")


def draw_events(lives: Mapping[int, Sequence[Result]], figure: Figure) -> None:
    """TAA and ACC by the number of cycles that the horizon is cut into."""
    figure.set_size_inches(6.4, 4.2)
    ax = figure.subplots()
    finals = {}
    for at, (name, column) in enumerate({"ACC": 0, "TAA": 1}.items()):
        found = [mean_interval(measures.acc_taa(results)[:, column]) for results in lives.values()]
        means, low, high = np.array(found).T
        finals[name] = draw_band(Band(np.array(list(lives)), means, low, high), ax, line_style(at, len(means)))
    label_lines(finals, ax)
    ax.set(xlabel="cycles in the same number of updates", ylabel="test accuracy of grow", xticks=list(lives))
    ax.grid(axis="y", color="0.9")


def draw_streams(shown: Mapping[str, ByMethod], figure: Figure) -> None:
    """Online accuracy per task, by title."""
    for ax, (title, lives) in _panels(figure, shown, 5.8, 4.2):
        draw_accuracy({name: measures.curves(results) for name, results in lives.items()}, ax)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("update")


def draw_waiting(shown: ByMethod, parity: float, figure: Figure) -> None:
    """Share of cohorts that have not reached a gradient parity yet, by age."""
    figure.set_size_inches(7.6, 4.6)
    draw_survival({name: measures.survival(runs, parity) for name, runs in shown.items()}, figure.subplots())


def _panels(
    figure: Figure, shown: Mapping[str, T], width: float, height: float
) -> Iterable[tuple[Axes, tuple[str, T]]]:
    """Axes side by side, one for each of what is shown."""
    figure.set_size_inches(width * len(shown), height)
    return zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True)
