"""Random numbers for all live parameters of some learners, update by update, from their own generators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from plastic_env.learner.masks import clear_unlearnt, live_parameters
from plastic_env.learner.parameters import BIAS, INITS
from plastic_env.learner.state import State

AT_ONCE = 2**18  # random numbers that are worked out together: they stay in the cache until they have been added
STOCK = 2**21  # random numbers that may be drawn at once, for several updates


class Jitter:
    """Uniform random numbers for all live parameters of some learners, from their own generators; 0 at padding.

    They take 128 values, equally spaced and symmetric about 0, with the variance of the continuous distribution. Any
    two of an update are independent of each other, and updates are; among three of one update there may be relations:
    of seven blocks of bits, three are drawn, and four are combinations of these. Numbers in single precision, all
    drawn, would take more time than all the rest of an update.

    half_widths: [P], 0 where nothing is to be drawn. live: [m, P] bool, None if there is no padding. coming: updates to
    come in which nobody else draws from the generators: numbers for several of them are drawn at once, the same ones.
    """

    def __init__(
        self, rngs: Sequence[np.random.Generator], live: Tensor | None, half_widths: Tensor, coming: int = 0
    ) -> None:
        self.draws, self.live, self.coming = [rng.bit_generator.random_raw for rng in rngs], live, coming
        self.counts: list[int] = [len(half_widths)] * len(rngs) if live is None else live.sum(1).tolist()
        self.words = [-(-count // (8 * 7)) for count in self.counts]  # of 8 numbers, in each of 7 blocks
        self.scale = half_widths / (2**14 - 1) ** 0.5
        self.stock: list[Tensor] = []  # levels [m, 7, numbers] for updates to come, the next one last
        self.ahead = max(1, STOCK // (len(rngs) * len(half_widths)))
        self.stride = -(-len(rngs) // -(-len(rngs) * len(half_widths) // AT_ONCE))
        self.room = half_widths.new_zeros(self.stride, max(len(half_widths), 7 * 8 * max(self.words)))

    def add_to(self, target: Tensor, keep: float = 1.0) -> None:
        """target <- keep * target + new numbers [m, P]."""
        if not self.stock:
            updates = max(1, min(self.ahead, self.coming))
            self.stock, self.coming = [*self._levels(range(len(target)), updates)][::-1], self.coming - updates
        levels = self.stock.pop()
        for start in range(0, len(target), self.stride):
            here = slice(start, start + self.stride)
            noise, part = self._numbers(levels[here], range(len(target))[here]), target[here]
            if keep == 1:
                part.addcmul_(noise, self.scale)
            else:
                torch.add(noise.mul_(self.scale), part, alpha=keep, out=part)

    def draw(self, rows: Sequence[int]) -> Tensor:
        """New numbers of some learners, [rows, P]."""
        (levels,), found = self._levels(rows, 1), self.scale.new_empty(len(rows), len(self.scale))
        for start in range(0, len(rows), self.stride):
            here = slice(start, start + self.stride)
            torch.mul(self._numbers(levels[here], rows[here]), self.scale, out=found[here])
        return found

    def _levels(self, rows: Sequence[int], updates: int) -> Tensor:
        """New odd int8 numbers [updates, rows, 7, numbers] of some learners."""
        blocks = np.zeros((updates, 7, len(rows), max(self.words)), dtype=np.uint64)
        for at, row in enumerate(rows):
            words = self.words[row]
            blocks[:, :3, at, :words] = self.draws[row](updates * 3 * words).reshape(updates, 3, words)
        first, second, third, both = (blocks[:, at] for at in range(4))
        np.bitwise_xor(first, second, out=both)
        np.bitwise_xor(blocks[:, :2], third[:, None], out=blocks[:, 4:6])
        np.bitwise_xor(both, third, out=blocks[:, 6])
        np.bitwise_or(blocks, np.uint64(0x0101010101010101), out=blocks)  # odd numbers are symmetric about 0
        return torch.from_numpy(blocks.view(np.int8)).transpose(1, 2)

    def _numbers(self, levels: Tensor, rows: Sequence[int]) -> Tensor:
        """Levels [rows, 7, numbers] as floating-point numbers [rows, P], 0 at padding; good until the next call."""
        room = self.room[: len(rows)]
        numbers = room[:, : len(self.scale)]
        if self.live is None:
            room.view(levels.shape).copy_(levels)
            return numbers
        mine = [levels[at, :, : 8 * self.words[row]].flatten()[: self.counts[row]] for at, row in enumerate(rows)]
        return numbers.zero_().masked_scatter_(self.live[list(rows)], torch.cat(mine).to(numbers))


def noise_of(
    state: State, members: Sequence[int], rngs: Sequence[np.random.Generator], sigma: float, coming: int
) -> Jitter:
    """Noise of standard deviation sigma for all that is learnt. coming: as for `Jitter`."""
    widths = state.weights.new_full((1, state.layout.size), sigma * 3**0.5)
    clear_unlearnt(state, widths)
    return Jitter(rngs, live_parameters(state, members), widths[0], coming)


def init_half_widths(state: State, init: str, biases: bool = True) -> Tensor:
    """[P] half-widths of the distributions that weights and, if wanted, biases are drawn from; 0 elsewhere."""
    rule, flat = INITS[init], state.weights.new_zeros(1, state.layout.size)
    for layer, start in zip(state.layout.views(flat), state.initial, strict=True):
        fan_in = start.weight.shape[2]  # slots, not live units
        layer.weight.fill_(rule.weight(fan_in))
        if biases:
            layer.vectors[:, BIAS] = rule.bias(fan_in)
    return flat[0]
