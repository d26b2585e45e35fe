"""What is to be seen of a learner while it lives, and the same as text. `picture.py` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plastic_env.env.episode import Outcome, Plan
from plastic_env.env.lifetime import Lifetime
from plastic_env.learner.edits import KINDS, Edit
from plastic_env.learner.probing import gradient_parities
from plastic_env.learner.stages import ConvStage
from plastic_env.learner.state import Units

RENDER_MODES = ["ansi", "rgb_array", "human"]
COLOURS = {
    "age": "units by their updates since birth",
    "parity": "units by their gradient on the probe batch, against the mean of those older than their cohort",
}
BAR = 40  # characters
LISTED = 4  # layers whose numbers are listed one by one


@dataclass(frozen=True)
class Row:
    """An editable layer.

    kind: "dense" or "conv". slots: how many. units: the live ones.
    values: [live] what they are coloured by: ages in updates, or log
    gradient parities (NaN: not to be told).
    """

    kind: str
    slots: int
    units: Units
    values: np.ndarray

    @property
    def newest(self) -> np.ndarray:
        """[live] bool: of the newest cohort; nobody while there are only founders."""
        cohort = self.units.cohort
        return (cohort == cohort.max()) & (cohort > 0)


@dataclass(frozen=True)
class Frame:
    """A moment of a life.

    rows: the editable layers. colour: one of `COLOURS`. updates: of the whole stream.
    accuracy: [updates used up] each batch's before it was trained on; NaN where nobody watched.
    shifts: that have been; None when boundaries are hidden. edits: with the updates at which they were made.
    diverged: whether training blew up.
    """

    rows: Sequence[Row]
    colour: str
    updates: int
    accuracy: np.ndarray
    shifts: Sequence[int] | None
    edits: Sequence[tuple[int, Edit]]
    diverged: bool

    @property
    def position(self) -> int:
        """Updates of the stream used up."""
        return len(self.accuracy)

    @property
    def stretch(self) -> int:
        """Batches whose mean accuracy is one point of the curve."""
        return max(5, -(-self.updates // 400))

    @property
    def present(self) -> float:
        """Mean accuracy of the latest stretch; NaN before the first update, and where nobody watched."""
        latest = self.accuracy[-self.stretch :]
        return float(latest.mean()) if len(latest) else float("nan")


def frame_of(
    life: Lifetime,
    outcomes: Sequence[Outcome],
    colour: str = "age",
    plan: Plan | None = None,
    accuracy: np.ndarray | None = None,
) -> Frame:
    """The present moment of a lifetime's first learner.

    Args:
        outcomes: of its steps so far, or of the latest ones.
        plan, accuracy: what is being done in the present step, and the accuracies [k] of its batches so far, if it has
            not ended.
    """
    state, position, stream = life.population.state, int(life.position[0]), life.streams[0]
    editable, units = state.network.editable, state.units_of(0)
    if colour == "parity":
        values = gradient_parities(life.glance(0), 0)
    else:
        values = [state.updates[0] - units[layer].born for layer in editable]
    rows = [
        Row("conv" if isinstance(stage, ConvStage) else "dense", stage.slots, units[layer], seen)
        for layer, seen in zip(editable, values, strict=True)
        for stage in [state.network.hidden[layer]]
    ]
    known = [outcome.accuracy for outcome in outcomes] + ([] if accuracy is None else [accuracy])
    unknown = np.full(position - sum(map(len, known)), np.nan)
    made = [(outcome.start, outcome.plan.edit) for outcome in outcomes]
    if plan is not None:
        made.append((position - len(known[-1]), plan.edit))
    hidden = life.settings.boundaries == "hidden"
    return Frame(
        rows=rows,
        colour=colour,
        updates=life.updates,
        accuracy=np.concatenate([unknown, *known]),
        shifts=None if hidden else [shift for shift in stream.shifts if shift <= position],
        edits=[(at, edit) for at, edit in made if not edit.empty],
        diverged=bool(state.frozen[0]),
    )


def as_text(frame: Frame) -> str:
    """Layers as bars: '#' incumbents, '+' newest cohort, '.' dormant slots."""
    lines = [f"{headline(frame)}  |  {last_edit(frame)}"]
    for layer, row in enumerate(frame.rows):
        live, newest = len(row.units), int(row.newest.sum())
        old = round(BAR * (live - newest) / row.slots)
        young = round(BAR * live / row.slots) - old
        bar = "#" * old + "+" * young
        lines.append(f"layer {layer} [{bar:.<{BAR}}] {live} of {row.slots} live, {newest} newest")
    return "\n".join(lines) + "\n"


def headline(frame: Frame) -> str:
    """Update, task (unless boundaries are hidden), live units, present accuracy."""
    parts = [f"update {frame.position} of {frame.updates}"]
    if frame.shifts is not None:
        parts.append(f"task {len(frame.shifts) + 1}")
    parts.append(f"live {_listed([len(row.units) for row in frame.rows])}")
    if not np.isnan(frame.present):
        parts.append(f"online accuracy {frame.present:.2f}")
    if frame.diverged:
        parts.append("diverged")
    return "  |  ".join(parts)


def last_edit(frame: Frame) -> str:
    """What was done to the learner last, and when."""
    if not frame.edits:
        return "not edited so far"
    at, edit = frame.edits[-1]
    layers = len(frame.rows)
    counts = {kind: edit.counts(kind, layers) for kind in KINDS}
    done = [f"{kind} {_listed(units)}" for kind, units in counts.items() if any(units)]
    done += [name for name in ("store", "reset") if getattr(edit, name)]
    if edit.rewind != "none":
        done.append(f"rewind ({edit.rewind})")
    return f"last edit at update {at}: {', '.join(done)}"


def _listed(units: Sequence[int]) -> str:
    if len(units) <= LISTED:
        return " + ".join(map(str, units))
    return f"{sum(units)} in {len(units)} layers"
