"""Fresh networks to compare with: how well would a newly drawn learner do on the same batches?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from plastic_env.errors import InvalidSetting
from plastic_env.learner.population import Population
from plastic_env.learner.settings import Conv, Dense, LearnerSettings
from plastic_env.streams.stream import TaskStream

CHUNK = 64  # updates whose batches are laid out at a time


def fresh_accuracy(
    stream: TaskStream,
    start: int,
    stop: int,
    settings: LearnerSettings,
    live: Sequence[int],
    rng: np.random.Generator,
    *,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Online accuracy [stop - start] of a network drawn from `rng` and trained on batches `start` to `stop - 1`.

    live: its units in each editable layer, all of them live from the start.

    Raises:
        InvalidSetting: another number of layers, or no batch between `start` and `stop`.
    """
    if len(live) != len(settings.slots) or not 0 <= start < stop <= stream.updates:
        raise InvalidSetting(
            f"live={live!r}, start={start!r}, stop={stop!r}; give {len(settings.slots)} numbers of units, and a "
            f"stretch of the stream's {stream.updates} updates."
        )
    signature, left = stream.signature, iter(live)
    hidden = tuple(_narrowed(spec, next(left)) if spec.editable else spec for spec in settings.layers)
    population = Population(
        1,
        signature.inputs,
        signature.outputs,
        replace(settings, hidden=hidden, live=1.0),
        loss=signature.loss,
        dtype=dtype,
    )
    population.begin({0: rng})
    parts = []
    for at in range(start, stop, CHUNK):
        x, y = stream.batches(at, min(stop, at + CHUNK))
        parts.append(population.train(x[:, None], y[:, None]).accuracy[:, 0])
    return np.concatenate(parts)


def relative_accuracy(accuracy: np.ndarray, fresh: np.ndarray) -> float:
    """Online accuracy [updates] over that of a fresh network on the same batches; below 1, plasticity has been lost.

    Where the fresh network gets nothing right, the ratio is 1 if the learner gets nothing right either, else infinite.
    """
    mine, theirs = float(np.mean(accuracy)), float(np.mean(fresh))
    if theirs == 0:
        return 1.0 if mine == 0 else float("inf")
    return mine / theirs


def _narrowed(spec: Dense | Conv, units: int) -> Dense | Conv:
    return replace(spec, units=units) if isinstance(spec, Dense) else replace(spec, channels=units)
