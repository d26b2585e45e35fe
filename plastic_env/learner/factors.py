"""Factors for every parameter, update by update, by the ages or the speeds of its two units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.parameters import Layout

AgeRule = Callable[[np.ndarray], np.ndarray]  # from ages, of at least 1, to factors


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
        self,
        rules: Sequence[AgeRule],
        layout: Layout,
        timing: Timing,
        updates: int,
        like: Tensor,
        relative: bool = False,
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
        """Units start anew after update number `step`: their age is 1 in the next one.

        row, position: [units] which of the m learners, and where in the layer.
        """
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
        self, rules: Sequence[AgeRule], layout: Layout, timing: Timing, updates: int, like: Tensor, relative: bool
    ) -> None:
        ages = np.concatenate([timing.now[:, None] - starts + 1 for starts in timing.starts], 1)
        known, which = np.unique(np.append(ages, 1), return_inverse=True)  # newborns begin at 1
        runs = np.append(np.minimum(np.diff(known), updates), updates)
        begins = runs.cumsum() - runs
        listed = np.repeat(known - begins, runs) + np.arange(runs.sum())
        self.table = torch.from_numpy(np.stack([rule(listed) for rule in rules])).to(like)
        begins = begins[which.reshape(-1)[:-1]].astype(np.int32)  # int64 takes longer to look up
        self.at = torch.from_numpy(begins.reshape(ages.shape)).to(like.device)
        self.index = torch.empty_like(self.at)
        self.spread, self.relative = Spread(layout, like, len(rules)), relative

    def begin(self, step: int) -> None:
        units = self.spread.units
        torch.add(self.at, step, out=self.index)
        torch.index_select(self.table, 1, self.index.view(-1), out=units.view(len(units), -1))
        if self.relative:
            head = self.spread.first[-1]
            units.div_(units[..., head : head + 1].clone())
        self.spread.work_out()

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        self.at[torch.from_numpy(row), torch.from_numpy(self.spread.first[layer] + position)] = -step - 1


class Spread:
    """Gives every parameter the larger one of the factors of its two units; inputs have none.

    units: [rules, m, units] the factors of units, layer after layer, to be filled in. first: where each layer begins
    there. rules: for how many kinds of factors at once.
    """

    def __init__(self, layout: Layout, like: Tensor, rules: int = 1) -> None:
        widths, self.layout = layout.widths[1:], layout
        self.first = [sum(widths[:at]) for at in range(len(widths))]
        self.units = like.new_empty(rules, len(like), sum(widths))
        layers = self.units.split(widths, 2)
        self.flat, self.views = like, layout.views(like)
        self.weights = [layers[0][..., None]]  # per layer [rules, m, out, columns or 1]
        self.weights += [like.new_empty(rules, *layer.weight.shape) for layer in self.views[1:]]
        self.vectors = [above[:, :, None] for above in layers]
        self.parts = []
        for at, weight in enumerate(self.weights[1:]):
            out = weight.unflatten(3, (-1, layout.blocks[at + 1]))  # [rules, m, out, units below, block]
            below, above = layers[at][:, :, None, :, None], layers[at + 1][..., None, None]
            self.parts.append((out, below.expand_as(out), above.expand_as(out)))

    def work_out(self) -> None:
        """Find the parameters' factors from those of the units."""
        for out, below, above in self.parts:
            torch.maximum(below, above, out=out)

    def multiply(self, flat: Tensor, rule: int = 0) -> Tensor:
        """Multiply [m, P] by factors, in place."""
        if flat is not self.flat:
            self.flat, self.views = flat, self.layout.views(flat)
        for (weight, vectors), mine, others in zip(self.views, self.weights, self.vectors, strict=True):
            weight.mul_(mine[rule])
            vectors.mul_(others[rule])
        return flat


class Speeds:
    """Factors that are given for each unit and update; 1 for units that start anew."""

    def __init__(self, layout: Layout, speeds: Sequence[np.ndarray], like: Tensor) -> None:
        self.units = torch.from_numpy(np.concatenate(speeds, 2)).to(like)  # [updates, m, units]
        self.spread = Spread(layout, like)

    def multiply(self, flat: Tensor, step: int) -> Tensor:
        """Multiply [m, P] by the factors of update number `step`, in place."""
        self.spread.units.copy_(self.units[step])
        self.spread.work_out()
        return self.spread.multiply(flat)

    def restart(self, step: int, layer: int, row: np.ndarray, position: np.ndarray) -> None:
        """Units start anew after update number `step`; `row` and `position` as for `Ageing`, [units] each."""
        self.units[step + 1 :, torch.from_numpy(row), torch.from_numpy(self.spread.first[layer] + position)] = 1.0
