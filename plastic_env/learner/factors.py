"""Factors for every parameter, update by update, by the ages or the speeds of its two units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.parameters import Layout

Rule = Callable[[np.ndarray], np.ndarray]  # from ages, of at least 1, to factors


@dataclass(frozen=True)
class Timing:
    """When optimizer states of m learners were started, and how fast their units are to learn now.

    now: [m] updates made so far.
    starts: per layer, the head included, [m, width]: start of each unit's state. Inputs are as old as the oldest.
    speeds: per layer [k, m, width] factors of the changes in the coming k updates; None where all are 1.
    live: [m, P] bool, which parameters are learnt and no padding; None if all are.
    noise: adds random numbers to [m, P], except where `live` is not; None for updates without noise.
    """

    now: np.ndarray
    starts: list[np.ndarray]
    speeds: list[np.ndarray] | None = None
    live: Tensor | None = None
    noise: Callable[[Tensor], None] | None = None

    def uniform(self) -> bool:
        """Whether in each learner everything started at once."""
        first = self.starts[0][:, :1]
        return all((starts == first).all() for starts in self.starts)


class Ageing:
    """Factors that follow from the parameters' ages, by rules that fall with age: several at once, as many rules share
    the work.

    relative: whether factors are divided by that of the head's first unit; then those of a learner all of whose units
    are of one age are exactly 1.
    """

    def __init__(
        self, rules: Sequence[Rule], layout: Layout, timing: Timing, updates: int, like: Tensor, relative: bool = False
    ) -> None:
        self.rules, self.layout, self.timing, self.updates, self.like = rules, layout, timing, updates, like
        self.relative = relative
        self.mixed = None if timing.uniform() else self._mix()
        if self.mixed is None and not relative:
            first = timing.now[None] + np.arange(1, updates + 1)[:, None] - timing.starts[0][:, 0]  # [updates, m]
            self.shared = torch.from_numpy(np.stack([rule(first) for rule in rules])).to(like)[..., None]

    def begin(self, step: int) -> None:
        """From now on, factors are those of update number `step`."""
        self.step = step
        if self.mixed is not None:
            self.mixed.begin(step)

    def multiply(self, flat: Tensor, rule: int = 0) -> Tensor:
        """Multiply [m, P] by the factors by a rule, in place."""
        if self.mixed is not None:
            return self.mixed.spread.multiply(flat, rule)
        return flat if self.relative else flat.mul_(self.shared[rule, self.step])

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        """Units start anew after update number `step`: their age is 1 in the next one."""
        if step + 1 == self.updates:
            return
        self.mixed = self.mixed or self._mix()
        self.mixed.restart(step, layer, row, position)

    def _mix(self) -> _Mixed:
        return _Mixed(self.rules, self.layout, self.timing, self.updates, self.like, self.relative)


class _Mixed:
    """Ages that differ within learners.

    table: [rules, ages] factors by age: powers take time, and few ages differ. at: [m, units] where in the table the
    units are in update number 0; one further in each update.
    """

    def __init__(
        self, rules: Sequence[Rule], layout: Layout, timing: Timing, updates: int, like: Tensor, relative: bool
    ) -> None:
        ages = np.concatenate([timing.now[:, None] - starts + 1 for starts in timing.starts], 1)
        known, which = np.unique(np.append(ages, 1), return_inverse=True)  # newborns begin at 1
        runs = np.append(np.minimum(np.diff(known), updates), updates)
        begins = runs.cumsum() - runs
        listed = np.repeat(known - begins, runs) + np.arange(runs.sum())
        self.table = torch.from_numpy(np.stack([rule(listed) for rule in rules])).to(like)
        self.at = torch.from_numpy(begins[which.reshape(-1)[:-1]].reshape(ages.shape)).to(like.device)
        self.spread, self.relative = Spread(layout, like, len(rules)), relative

    def begin(self, step: int) -> None:
        index = self.at + step
        units = self.table.index_select(1, index.flatten()).view(-1, *index.shape)
        if self.relative:
            head = self.spread.first[-1]
            units = units / units[..., head : head + 1]
        self.spread.set(units)

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        self.at[torch.from_numpy(row), torch.from_numpy(self.spread.first[layer] + position)] = -step - 1


class Spread:
    """Gives every parameter the larger one of the factors of its two units; inputs have none.

    first: where each layer's units begin among all. rules: for how many kinds of factors at once.
    """

    def __init__(self, layout: Layout, like: Tensor, rules: int = 1) -> None:
        self.layout, widths = layout, layout.widths[1:]
        self.first = [sum(widths[:at]) for at in range(len(widths))]
        self.flat, self.views = like, layout.views(like)
        self.room = [like.new_empty(rules, *layer.weight.shape) for layer in self.views[1:]]
        self.above: list[Tensor] = []

    def set(self, units: Tensor) -> None:
        """Take the units' factors [rules, m, units], layer after layer."""
        self.above = list(units.split(self.layout.widths[1:], 2))
        for at, room in enumerate(self.room):
            below, above, block = self.above[at], self.above[at + 1], self.layout.blocks[at + 1]
            columns = below if block == 1 else below.repeat_interleave(block, 2)
            torch.maximum(above[..., None], columns[:, :, None], out=room)

    def multiply(self, flat: Tensor, rule: int = 0) -> Tensor:
        """Multiply [m, P] by factors, in place."""
        if flat is not self.flat:
            self.flat, self.views = flat, self.layout.views(flat)
        for at, (weight, vectors) in enumerate(self.views):
            above = self.above[at][rule]  # [m, width]
            weight.mul_(self.room[at - 1][rule] if at else above[:, :, None])
            vectors.mul_(above[:, None])
        return flat


class Speeds:
    """Factors that are given for each unit and update; 1 for units that start anew."""

    def __init__(self, layout: Layout, speeds: Sequence[np.ndarray], like: Tensor) -> None:
        self.units = torch.from_numpy(np.concatenate(speeds, 2)).to(like)  # [updates, m, units]
        self.spread = Spread(layout, like)

    def multiply(self, flat: Tensor, step: int) -> Tensor:
        """Multiply [m, P] by the factors of update number `step`, in place."""
        self.spread.set(self.units[step][None])
        return self.spread.multiply(flat)

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        """Units start anew after update number `step`."""
        self.units[step + 1 :, torch.from_numpy(row), torch.from_numpy(self.spread.first[layer] + position)] = 1.0
