"""Mixed shifts: changes of several kinds, weak and strong, after short and long tasks. Here it pays to choose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from plastic_env.errors import InvalidSetting, check_share, look_up
from plastic_env.scenarios.data import load
from plastic_env.scenarios.family import Family, ordered, rows_used, shuffled
from plastic_env.streams.stream import Chain, Signature, Task, TaskStream, task_rng
from plastic_env.streams.transforms import Moved, rotation

KINDS = {
    "inputs": "pixels change places",
    "labels": "classes change names",
    "rotation": "images turn, by up to 180 degrees times the strength, either way",
    "return": "another task that was there before comes back; as long as there is none, pixels change places",
}
SPLITS = {"train": "instances to learn policies on", "test": "instances to compare policies on"}


@dataclass(frozen=True)
class Shift:
    """What happens at the start of one task, and how long that lasts.

    kind: one of `KINDS`; the first task's means nothing. strength: share of the pixels or classes that change. length:
        updates of the task.
    """

    kind: str
    strength: float
    length: int


@dataclass(frozen=True, eq=False)
class Look:
    """What a task looks like: label says which earlier task it is, if it is one; images are turned by degrees."""

    places: np.ndarray  #: [features] which pixel of the turned image each one shows
    names: np.ndarray  #: [classes]
    degrees: float
    label: int


@dataclass(frozen=True)
class MixedShifts(Family):
    """Each task differs from the one before in one way, more or less, for a longer or shorter time. How much to recycle
    depends on that: next to nothing after a weak shift, nearly everything after a strong one.

    Instances are drawn from one distribution, but those of the two splits never from the same seeds: learn a policy on
    one, and compare policies on the other.

    data: name of the data set. images: how many of its training images are used; None for all.
    kinds, strengths: what they are drawn from, each equally likely: name one twice to draw it twice as often.
    shortest, longest: updates of a task, drawn log-uniformly. updates: of the whole stream; the last task takes what is
        left. batch_size: samples per batch, drawn in shuffled passes. split: "train" or "test" (see `SPLITS`).

    Raises:
        InvalidSetting, UnknownName: values outside of these.
    """

    data: str = "digits"
    images: int | None = None
    kinds: tuple[str, ...] = tuple(KINDS)
    strengths: tuple[float, ...] = (0.05, 0.15, 0.3, 0.6, 1.0)
    shortest: int = 30
    longest: int = 300
    updates: int = 6000
    batch_size: int = 16
    split: str = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        look_up(SPLITS, self.split, "split")
        for name, values in (("kinds", self.kinds), ("strengths", self.strengths)):
            if not isinstance(values, tuple) or not values:
                raise InvalidSetting(f"{name} is {values!r}; give a tuple to draw from.")
        for kind in self.kinds:
            look_up(KINDS, kind, "kind of shift")
        for strength in self.strengths:
            check_share("strength", strength)
        if self.shortest > self.longest:
            raise InvalidSetting(f"shortest is {self.shortest}, longest {self.longest}; the first can't be the longer.")

    def shifts(self, seed: int) -> tuple[Shift, ...]:
        """The instance with this seed, task by task; it tells what no agent may know."""
        rng, found, left = task_rng(seed, self._number, 0), list[Shift](), self.updates
        while left:
            kind, strength = str(rng.choice(self.kinds)), float(rng.choice(self.strengths))
            if kind == "return" and len(found) < 2:
                kind = "inputs"  # nothing can come back before there are two tasks
            length = round(float(np.exp(rng.uniform(np.log(self.shortest), np.log(self.longest)))))
            length = length if left - length >= self.shortest else left  # no scrap at the end
            found.append(Shift(kind, strength, length))
            left -= length
        return tuple(found)

    def stream(self, seed: int) -> TaskStream:
        """The stream with this seed.

        Raises:
            InvalidSetting: images are to turn, and the data set holds none.
        """
        data = load(self.data)
        shape = data.shape
        if shape is None and "rotation" in self.kinds:
            raise InvalidSetting(f"Data set {data.name!r} holds no images to turn; leave 'rotation' out of kinds.")
        own = int(np.random.SeedSequence(seed, spawn_key=(self._number,)).generate_state(1, np.uint64)[0])
        rows, shifts = rows_used(data, self.images, own), self.shifts(seed)
        first: tuple[Look, ...] = (Look(np.arange(data.features), np.arange(data.classes), 0.0, 0),)

        def change(past: tuple[Look, ...], index: int, rng: np.random.Generator) -> tuple[Look, ...]:
            return (*past, _shifted(past, shifts[index], index, rng))

        looks = Chain(first, change, own)

        def draw(index: int, _: np.random.Generator) -> Task:
            look = looks.at(index)[index]
            turned = look.places
            if shape is not None and look.degrees:
                turned = rotation(shape, look.degrees)[turned]
            train, test = (
                part.labelled(torch.from_numpy(look.names)[part.targets]) for part in (data.train, data.test)
            )
            order = ordered(rows, shifts[index].length, self.batch_size, task_rng(own, index))
            blank = data.train.blank
            shown = Moved(turned, blank[look.places] if isinstance(blank, torch.Tensor) else blank)
            return Task(train, order, shown, test, label=look.label)

        lengths = tuple(shift.length for shift in shifts)
        return TaskStream(Signature.of(data), lengths, self.batch_size, draw, seed)

    @property
    def _number(self) -> int:
        return list(SPLITS).index(self.split)


def _shifted(past: tuple[Look, ...], shift: Shift, index: int, rng: np.random.Generator) -> Look:
    """What the next task looks like."""
    if shift.kind == "return":
        others = [look for look in past if look.label != past[-1].label]
        return others[rng.integers(len(others))]
    now = replace(past[-1], label=index)
    if shift.kind == "inputs":
        return replace(now, places=shuffled(now.places, shift.strength, rng))
    if shift.kind == "labels":
        return replace(now, names=shuffled(now.names, shift.strength, rng))
    return replace(now, degrees=now.degrees + rng.uniform(-180, 180) * shift.strength)


SETTINGS = {
    "MixedShiftsDigits-small-v0": MixedShifts(),
    "BimodalShiftsDigits-small-v0": MixedShifts(
        kinds=("inputs",), strengths=(0.05, 0.05, 1.0), shortest=20, longest=80, updates=4000
    ),
}
