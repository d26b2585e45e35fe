"""The drawings of the pages: `python docs/drawings/draw.py` writes them beside itself.

Each is a list of shapes on a white sheet, so that it reads on light and dark pages. Text is in the reader's fonts.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import atan2, cos, exp, sin
from pathlib import Path

HERE = Path(__file__).parent
INK, FAINT, LINE = "#222222", "#666666", "#999999"
BLUE, ORANGE, GREEN, GREY = "#CFE3F5", "#FBD9B5", "#D3EBD3", "#EEEEEE"
DEEP_BLUE, DEEP_ORANGE, DEEP_GREEN = "#0072B2", "#D55E00", "#009E73"  # told apart by colour-blind readers, too
Point = tuple[float, float]


def sheet(width: int, height: int, about: str, shapes: Iterable[str]) -> str:
    """A whole drawing; `about` is what readers hear who don't see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="14" role="img">\n<title>{escape(about)}</title>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def text(
    at: Point, said: str, colour: str = INK, size: int = 14, anchor: str = "middle", weight: str = "normal"
) -> str:
    """Lines of text, the first at a point."""
    x, y = at
    lines = "".join(
        f'<tspan x="{x:g}" dy="{0 if row == 0 else 1.25 * size:g}">{escape(line)}</tspan>'
        for row, line in enumerate(said.split("\n"))
    )
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{lines}</text>'
    )


def box(at: Point, size: Point, said: str = "", fill: str = GREY, stroke: str = LINE, dash: str = "") -> str:
    """A rectangle with text in its middle; `at` is its upper left corner."""
    (x, y), (width, height) = at, size
    rows = said.count("\n") + 1
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    shape = f'<rect {place} rx="5" fill="{fill}" stroke="{stroke}"{dashed}/>'
    middle = (x + width / 2, y + height / 2 + 5 - (rows - 1) * 8.75)
    return f"{shape}\n{text(middle, said)}" if said else shape


def circle(at: Point, radius: float, fill: str, stroke: str = INK, dash: str = "") -> str:
    """A disc."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<circle cx="{at[0]:g}" cy="{at[1]:g}" r="{radius:g}" fill="{fill}" stroke="{stroke}"{dashed}/>'


def path(points: Iterable[Point], colour: str = LINE, width: float = 1.5, dash: str = "") -> str:
    """A line through some points."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def arrow(*points: Point, colour: str = FAINT) -> str:
    """A line through some points, with a head at the last."""
    (x0, y0), (x, y) = points[-2:]
    angle = atan2(y - y0, x - x0)
    sides = [(x - 9 * cos(angle + turn), y - 9 * sin(angle + turn)) for turn in (0.4, -0.4)]
    head = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), *sides))
    return f'{path(points, colour)}\n<polygon points="{head}" fill="{colour}"/>'


def loop() -> str:
    """One step: the agent's plan, what the environment does with it, what the agent sees."""
    phases = ("check", "edit", "probe newborns", "train on the budget", "charge", "probe, reward")
    boxes = [box((230, 40 + 46 * row), (180, 34), phase, BLUE) for row, phase in enumerate(phases)]
    down = [arrow((320, 74 + 46 * row), (320, 85 + 46 * row)) for row in range(5)]
    batches = [
        *(box((470 + 26 * at, 182), (20, 26), "", GREEN if at < 4 else ORANGE) for at in range(6)),
        text((545, 168), "next batches of the stream", FAINT, 12),
        path([(572, 172), (572, 220)], DEEP_ORANGE, 2, "4 3"),
        text((574, 236), "shift: the step ends", DEEP_ORANGE, 12),
        arrow((466, 195), (414, 195)),
        text((545, 258), "each is scored,\nthen trained on", FAINT, 12),
    ]
    return sheet(
        660,
        340,
        "One step of the loop: an agent's plan is checked, carried out, trained on a budget of batches, and measured",
        [
            box((20, 140), (110, 60), "agent", ORANGE),
            text((320, 26), "environment", INK, 14, weight="bold"),
            *boxes,
            *down,
            *batches,
            arrow((75, 140), (75, 57), (226, 57)),
            text((150, 48), "plan: edit + budget", FAINT, 12),
            arrow((226, 287), (75, 287), (75, 204)),
            text((150, 305), "observation, reward", FAINT, 12),
        ],
    )


def slots() -> str:
    """A layer's slots before and after an edit."""

    def layer(y: float, states: str) -> list[str]:
        looks = {"l": (BLUE, INK, ""), "d": ("white", LINE, "3 3"), "n": (ORANGE, DEEP_ORANGE, "")}
        return [circle((200 + 48 * at, y), 17, *looks[state]) for at, state in enumerate(states)]

    marks = [((296, 118), "pruned"), ((392, 118), "recycled"), ((488, 118), "grown"), ((536, 118), "grown")]
    return sheet(
        640,
        250,
        "Eight slots of a layer before and after an edit: one unit is pruned, one recycled, two are grown",
        [
            text((90, 69), "before", anchor="middle"),
            *layer(64, "lllllldd"),
            *(text(at, said, FAINT, 11) for at, said in marks),
            *(arrow((x, 86), (x, 103)) for x in (296, 392, 488, 536)),
            *(arrow((x, 124), (x, 136)) for x in (296, 392, 488, 536)),
            text((90, 163), "after"),
            *layer(158, "lldlnlnn"),
            circle((110, 217), 10, BLUE),
            text((126, 222), "live", FAINT, 13, "start"),
            circle((200, 217), 10, ORANGE, DEEP_ORANGE),
            text((216, 222), "live, newborn: one cohort", FAINT, 13, "start"),
            circle((420, 217), 10, "white", LINE, "3 3"),
            text((436, 222), "dormant slot", FAINT, 13, "start"),
        ],
    )


def parity() -> str:
    """Activation and gradient of newborns over those of incumbents."""

    def bars(x: float, title: str, newborn: float, sums: str) -> list[str]:
        base = 190
        return [
            text((x + 75, 40), title, weight="bold"),
            box((x + 20, base - 100), (45, 100), "", BLUE, DEEP_BLUE),
            box((x + 85, base - 100 * newborn), (45, 100 * newborn), "", ORANGE, DEEP_ORANGE),
            path([(x, base), (x + 150, base)], INK),
            path([(x, base - 100), (x + 150, base - 100)], LINE, 1, "4 3"),
            text((x + 42, base + 18), "incumbents", FAINT, 11),
            text((x + 108, base + 18), "newborns", FAINT, 11),
            text((x + 75, base + 44), sums, INK, 13),
        ]

    return sheet(
        640,
        260,
        "At birth newborns are about as active as incumbents, and receive far less gradient",
        [
            *bars(60, "forward: how active", 1.1, "parity = newborns / incumbents = 1.1"),
            *bars(400, "backward: how much gradient", 0.3, "parity = 0.3"),
            text((305, 94), "1: parity", FAINT, 12),
        ],
    )


def waiting() -> str:
    """The gradient parity of three cohorts by age, and when each integrates."""

    def at(update: float, value: float) -> Point:
        return 70 + update * 1.05, 210 - value * 150

    def curve(start: int, stop: int, scale: float) -> list[Point]:
        return [at(u, 0.9 - 0.75 * exp(-(u - start) / scale)) for u in range(start, stop + 1, 5)]

    crossing = [(20, 20 + 0.6286 * 60, 200, 60.0), (200, 200 + 0.6286 * 140, 400, 140.0)]
    births = [text((at(u, 0)[0], 232), f"cohort {n}\nis born", FAINT, 12) for n, u in ((1, 20), (2, 200), (3, 400))]
    spans = []
    for start, reached, _, _ in crossing:
        left, right = at(start, 0.5), at(reached, 0.5)
        spans += [
            path([left, right], DEEP_GREEN, 3),
            circle(right, 4, DEEP_GREEN, DEEP_GREEN),
        ]
    return sheet(
        640,
        270,
        "Gradient parity of three cohorts from birth on: the time to integrate ends where one half is reached; the "
        "third cohort is replaced before that, and its time is censored",
        [
            arrow(at(0, 0), at(520, 0)),
            arrow(at(0, 0), at(0, 1.2)),
            path([at(0, 1), at(510, 1)], LINE, 1, "4 3"),
            path([at(0, 0.5), at(510, 0.5)], DEEP_GREEN, 1, "4 3"),
            text((62, at(0, 1)[1] + 4), "1", FAINT, 12, "end"),
            text((62, at(0, 0.5)[1] + 4), "1/2", DEEP_GREEN, 12, "end"),
            text((80, 26), "gradient parity of the newest cohort", FAINT, 12, "start"),
            text((at(520, 0)[0], 228), "updates", FAINT, 12, "end"),
            *(path(curve(start, stop, scale), DEEP_ORANGE, 2.5) for start, _, stop, scale in crossing),
            path(curve(400, 460, 300), DEEP_ORANGE, 2.5),
            *spans,
            circle(at(460, 0.285), 5, "white", DEEP_ORANGE),
            text((at(468, 0.3)[0], at(0, 0.3)[1] + 4), "censored", FAINT, 12, "start"),
            text((at(20, 0.5)[0] + 6, at(0, 0.5)[1] + 18), "time to integrate", DEEP_GREEN, 12, "start"),
            *births,
        ],
    )


def population() -> str:
    """Three learners' weights of one layer, stacked."""
    widths = (6, 4, 5)
    shapes = []
    for learner, width in enumerate(widths):
        x = 40 + 150 * learner
        for row in range(6):
            for column in range(5):
                live = row < width
                shapes.append(
                    f'<rect x="{x + 22 * column}" y="{50 + 22 * row}" width="20" height="20" '
                    f'fill="{BLUE if live else "white"}" stroke="{DEEP_BLUE if live else LINE}"/>'
                )
        shapes.append(text((x + 54, 38), f"learner {learner}", FAINT, 12))
        shapes.append(text((x + 54, 200), f"{width} live units", FAINT, 12))
    return sheet(
        660,
        240,
        "The weights of one layer of three learners in one tensor; narrower learners are padded with zeros",
        [
            *shapes,
            box((485, 66), (160, 90), "one tensor [3, 6, 5],\none matrix product\nfor all learners", GREEN),
            f'<rect x="40" y="216" width="12" height="12" fill="white" stroke="{LINE}"/>',
            text((60, 227), "padding with zeros, up to the widest learner", FAINT, 12, "start"),
        ],
    )


def rooms() -> str:
    """Who imports whom."""
    named = {
        "cli": (270, 20, ORANGE),
        "study": (270, 90, ORANGE),
        "agents": (60, 160, GREEN),
        "scenarios": (480, 160, GREEN),
        "env": (270, 230, BLUE),
        "learner": (140, 300, BLUE),
        "streams": (400, 300, BLUE),
        "avalanche": (480, 230, GREEN),
    }
    boxes = [box((x, y), (120, 40), name, fill) for name, (x, y, fill) in named.items()]
    links = [
        arrow((330, 60), (330, 88)),
        arrow((270, 40), (120, 158)),
        arrow((270, 118), (170, 158)),
        arrow((390, 118), (490, 158)),
        arrow((330, 130), (330, 228)),
        arrow((150, 200), (266, 238)),
        arrow((480, 196), (394, 238)),
        arrow((540, 200), (540, 228)),
        arrow((480, 256), (394, 256)),
        arrow((300, 270), (230, 298)),
        arrow((360, 270), (430, 298)),
    ]
    return sheet(
        660,
        360,
        "Who imports whom: cli imports study, which imports agents and scenarios; these import env, which imports "
        "learner and streams",
        [*boxes, *links],
    )


DRAWINGS = (loop, slots, parity, waiting, population, rooms)

if __name__ == "__main__":
    for drawing in DRAWINGS:
        (HERE / f"{drawing.__name__}.svg").write_text(drawing())
