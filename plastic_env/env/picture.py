"""The picture of a moment: a cell for each slot, coloured by what its unit is, and the accuracy so far below.

A slot keeps its place, so that units are seen to be born, to live and to die. What never changes is drawn once; cells
are looked up in a table of colours, and matplotlib draws only curve and words anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_env.env.rendering import Frame, headline, last_edit

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Text

# pixels; films want multiples of 16
WIDTH, GUTTER, PANEL = 976, 130, 800
DPI = 100  # for what is told in points
TITLE, HEADER, LEGEND, CURVE, FOOTER = 26, 58, 88, 190, 50
BETWEEN, TALLEST = 14, 310  # space between layers; what cells may fill together, if that can be had
LINE = 14  # height of a layer's label
COLUMNS = (32, 64, 128, 256, 512)

NOBODY, EDGE, BODY, RING, DOT = range(5)  # parts of a cell
PARTS = 5
FAINT = 216  # grey of a dormant slot's edge

SHADES = 96  # of units: few enough for a GIF, which has 256 colours
BLUE, VERMILLION, PALE = "#0072B2", "#D55E00", "#9FC3DC"  # of Okabe & Ito's colour-blind safe palette; pale blue


@dataclass(frozen=True)
class Grid:
    """Where the cells of all slots are, in pixels from the upper left corner of the panel.

    columns: cells side by side; longer layers go on in the next line. pitch: pixels from one cell to the next.
    tops: of each layer. height: of all.
    """

    slots: tuple[int, ...]
    columns: int
    pitch: int
    tops: tuple[int, ...]
    height: int

    @staticmethod
    def of(slots: Sequence[int]) -> Grid:
        """The largest cells that are no taller than `TALLEST` together."""
        for columns in COLUMNS:
            pitch = PANEL // columns
            heights = [-(-units // columns) * pitch for units in slots]
            if sum(heights) <= TALLEST:
                break
        places = np.cumsum([0, *(max(height, LINE) + BETWEEN for height in heights)]).tolist()
        return Grid(tuple(slots), columns, pitch, tuple(places[:-1]), places[-1] - BETWEEN)

    def cell(self, layer: int, slot: int) -> tuple[slice, slice]:
        """Rows and columns of pixels of one slot."""
        line, column = divmod(slot, self.columns)
        top, left = self.tops[layer] + line * self.pitch, column * self.pitch
        return slice(top, top + self.pitch), slice(left, left + self.pitch)

    @cached_property
    def places(self) -> np.ndarray:
        """[height, PANEL] of each pixel, `PARTS` times the number of its slot, counted through all layers, plus the
        part of the cell that it is; where there is no slot, that of a number beyond them."""
        places = np.full((self.height, PANEL), PARTS * sum(self.slots))
        sprite, first = _sprite(self.pitch), 0
        for layer, slots in enumerate(self.slots):
            for slot in range(slots):
                places[self.cell(layer, slot)] = PARTS * (first + slot) + sprite
            first += slots
        return places


class Painter:
    """Paints frames of one life, or of others like it.

    Args:
        frame: any of them. title: what it is a picture of.
    """

    def __init__(self, frame: Frame, title: str = "") -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.grid = Grid.of([row.slots for row in frame.rows])
        self.top = HEADER + (TITLE if title else 0)
        bottom = self.top + self.grid.height
        self.height = -(-(bottom + LEGEND + CURVE + FOOTER) // 16) * 16
        inches = (WIDTH + 0.5) / DPI, (self.height + 0.5) / DPI  # matplotlib cuts off the half, and no whole pixel
        self.figure = Figure(figsize=inches, dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.scale = _Scale.of(frame)
        if title:
            self._write(GUTTER, 22, title, fontsize=12, fontweight="bold")
        self._draw_legend(bottom + 24)
        self.head = self._write(GUTTER, self.top - 38, animated=True)
        self.edit = self._write(GUTTER, self.top - 18, animated=True)
        middles = [self.top + top + max(LINE, self.grid.pitch) // 2 for top in self.grid.tops]
        self.labels = [self._write(GUTTER - 10, y, animated=True, ha="right", fontsize=9) for y in middles]
        lowest = (self.height - bottom - LEGEND - FOOTER) / self.height
        self.curve = _Curve(self.figure.add_axes((GUTTER / WIDTH, FOOTER / self.height, PANEL / WIDTH, lowest)), frame)
        self.canvas.draw()
        self.still = self.blank = self.canvas.copy_from_bbox(self.figure.bbox)
        self.said: list[str] = []

    def paint(self, frame: Frame) -> np.ndarray:
        """An image [height, WIDTH, 3] uint8."""
        self._say(frame)
        self.canvas.restore_region(self.still)
        self.head.set_text(headline(frame))
        for artist in (self.head, *self.curve.follow(frame)):
            self.figure.draw_artist(artist)
        image, drawn = np.empty((self.height, WIDTH, 3), dtype=np.uint8), np.asarray(self.canvas.buffer_rgba())
        for channel in range(3):  # ten times as fast as a copy of all at once
            image[..., channel] = drawn[..., channel]
        cells = self._table(frame).reshape(-1, 3).take(self.grid.places, 0)
        image[self.top : self.top + self.grid.height, GUTTER : GUTTER + PANEL] = cells
        return image

    def cell(self, layer: int, slot: int) -> tuple[slice, slice]:
        """Rows and columns of one slot's pixels in the image."""
        down, across = self.grid.cell(layer, slot)
        return slice(down.start + self.top, down.stop + self.top), slice(across.start + GUTTER, across.stop + GUTTER)

    def _say(self, frame: Frame) -> None:
        """Draw anew what seldom changes, if it has: words take most of a frame's time."""
        words = [f"{row.kind} {at}: {len(row.units)}/{row.slots}" for at, row in enumerate(frame.rows)]
        words.append(last_edit(frame))
        if words == self.said:
            return
        self.canvas.restore_region(self.blank)
        for artist, text in zip([*self.labels, self.edit], words, strict=True):
            artist.set_text(text)
            self.figure.draw_artist(artist)
        self.still, self.said = self.canvas.copy_from_bbox(self.figure.bbox), words

    def _table(self, frame: Frame) -> np.ndarray:
        """The colours of each slot's parts, and of nobody's: [slots + 1, parts, 3] uint8."""
        table = np.full((sum(self.grid.slots) + 1, PARTS, 3), 255, dtype=np.uint8)
        first = 0
        for row in frame.rows:
            mine, slot = table[first : first + row.slots], row.units.slot
            mine[:, EDGE] = FAINT
            mine[slot, EDGE:] = self.scale.colours(row.values)[:, None]
            mine[slot[row.newest], DOT] = 0
            mine[slot[row.newest], RING] = 255
            first += row.slots
        return table

    def _write(self, x: float, y: float, words: str = "", **style: Any) -> Text:
        """Words at a place in pixels, from the upper left corner."""
        style = {"fontsize": 9.5, "va": "center", **style}
        return self.figure.text(x / WIDTH, 1 - y / self.height, words, **style)

    def _draw_legend(self, y: float) -> None:
        """What colours and marks of cells mean, at a height in pixels."""
        from matplotlib.patches import Circle, Rectangle

        bar = self.figure.add_axes((GUTTER / WIDTH, 1 - (y + 6) / self.height, 256 / WIDTH, 12 / self.height))
        bar.imshow(self.scale.sample, aspect="auto", extent=(0, 1, 0, 1), interpolation="nearest")
        bar.set_yticks([])
        bar.set_xticks(*self.scale.ticks)
        bar.tick_params(labelsize=8, length=3, pad=2)
        self._write(GUTTER + 266, y, self.scale.name, fontsize=9)
        side, up = 13, self.height - y
        for x, face, edge, words in (
            (GUTTER + 580, "white", str(FAINT / 255), "dormant slot"),
            (GUTTER + 690, BLUE, BLUE, "newest cohort"),
        ):
            box = Rectangle((x, up - side / 2), side, side, facecolor=face, edgecolor=edge, transform=None)
            self.figure.add_artist(box)
            self._write(x + side + 6, y, words, fontsize=9)
        for radius, colour in ((4.0, "white"), (2.7, "black")):
            self.figure.add_artist(Circle((x + side / 2, up), radius, color=colour, transform=None))


@dataclass(frozen=True)
class _Scale:
    """From what units are coloured by to colours.

    name: what it is. ticks: places in 0 .. 1 and what is written there. position: from values to 0 .. 1.
    """

    name: str
    ticks: tuple[list[float], list[str]]
    position: Callable[[np.ndarray], np.ndarray]
    table: Callable[[np.ndarray], np.ndarray]

    @staticmethod
    def of(frame: Frame) -> _Scale:
        """The scale of a frame's colour."""
        from matplotlib import colormaps
        from matplotlib.colors import LinearSegmentedColormap

        if frame.colour == "age":
            places = [0, 1 / 4, 1 / 2, 1]  # the root: what is young differs most
            names = [f"{frame.updates * place**2:.0f}" for place in places]
            table = colormaps["viridis"].reversed()
            return _Scale("age in updates", (places, names), lambda ages: np.sqrt(ages / frame.updates), table)
        powers = [-4, -2, 0, 2, 4]
        ticks = [1 / 2 + power / 8 for power in powers], ["1/16", "1/4", "1", "4", "16"]
        table = LinearSegmentedColormap.from_list("parity", [BLUE, "#BBBBBB", VERMILLION])
        return _Scale("gradient over that of older units", ticks, lambda logs: 1 / 2 + logs / np.log(256), table)

    def colours(self, values: np.ndarray) -> np.ndarray:
        """[values, 3] uint8; the middle one where a value is not known."""
        places = np.nan_to_num(self.position(values), nan=0.5).clip(0, 1)
        shades = self.table(np.round((SHADES - 1) * places) / (SHADES - 1))
        return np.round(255 * shades[:, :3]).astype(np.uint8)

    @property
    def sample(self) -> np.ndarray:
        """[1, SHADES, 3] all colours."""
        return self.table(np.linspace(0, 1, SHADES))[None, :, :3]


class _Curve:
    """The accuracy so far: by short stretches and by tasks (by longer stretches when boundaries are hidden)."""

    def __init__(self, ax: Axes, frame: Frame) -> None:
        self.hidden = frame.shifts is None
        ax.set(xlim=(0, frame.updates), ylim=(0, 1), xlabel="update", ylabel="online accuracy")
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", ".5", "", "1"])
        ax.grid(axis="y", color="0.92")
        ax.set_axisbelow(True)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        short = f"mean of {frame.stretch} batches"
        self.short = ax.plot([], [], color=PALE, linewidth=1, animated=True, label=short)[0]
        long = f"mean of {self._long(frame)} batches" if self.hidden else "mean of the task"
        self.long = ax.plot([], [], color=BLUE, linewidth=2, animated=True, label=long)[0]
        mark: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 7, "animated": True, "clip_on": False}
        mark["transform"] = ax.get_xaxis_transform()
        self.shifts = ax.plot([], [], color="0.35", label="shift (above)", **mark)[0]
        self.edits = ax.plot([], [], color=VERMILLION, label="edit (below)", **mark)[0]
        self.now = ax.plot([], [], "o", color="black", markersize=5, animated=True, label="now", clip_on=False)[0]
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
        self.number = ax.text(0, 0, "", fontsize=9.5, fontweight="bold", va="center", animated=True, bbox=paper)
        marks = [self.now, self.short, self.long, *([] if self.hidden else [self.shifts]), self.edits]
        ax.legend(handles=marks, loc="lower right", bbox_to_anchor=(1, 1.03), ncols=5, frameon=False, fontsize=8.5)

    def follow(self, frame: Frame) -> list[Artist]:
        """What is to be drawn."""
        now, present = frame.position, frame.present
        ends = np.arange(0, now + 1, frame.stretch)
        self.short.set_data(_middles(ends), _means(frame.accuracy, ends))
        bounds = np.arange(0, now, self._long(frame)) if frame.shifts is None else np.array([0, *frame.shifts])
        bounds = np.append(bounds[bounds < now], now)
        self.long.set_data(np.repeat(bounds, 2)[1:-1], np.repeat(_means(frame.accuracy, bounds), 2))
        shifts = [] if frame.shifts is None else frame.shifts
        self.shifts.set_data(shifts, np.full(len(shifts), 1.03))
        edits = [at for at, _ in frame.edits]
        self.edits.set_data(edits, np.full(len(edits), 0.03))
        drawn: list[Artist] = [self.shifts, self.edits, self.short, self.long]
        if np.isnan(present):
            return drawn
        self.now.set_data([now], [present])
        self.number.set_position((now + 0.012 * frame.updates, present))
        self.number.set_text(f"{present:.2f}")
        return [*drawn, self.now, self.number]

    @staticmethod
    def _long(frame: Frame) -> int:
        return 10 * frame.stretch


def _means(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """[bounds - 1] means of the values from each bound to the next."""
    if len(bounds) < 2:
        return np.zeros(0)
    return np.add.reduceat(values[: bounds[-1]], bounds[:-1]) / np.diff(bounds)


def _middles(bounds: np.ndarray) -> np.ndarray:
    return (bounds[:-1] + bounds[1:]) / 2


def _sprite(pitch: int) -> np.ndarray:
    """[pitch, pitch] the part of a cell that each of its pixels belongs to."""
    parts = np.full((pitch, pitch), NOBODY)
    side = pitch - (0 if pitch < 3 else max(1, pitch // 8))  # there is a gap between cells
    parts[:side, :side] = EDGE
    if side < 4:  # no room for more
        parts[0, 0] = DOT
        return parts
    parts[1 : side - 1, 1 : side - 1] = BODY
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    away, radius = np.hypot(down, across), max(0.5, 0.22 * side - 0.6)
    parts[:side, :side][away <= 1.3 * radius + 1] = RING
    parts[:side, :side][away <= radius] = DOT
    return parts
