"""Avalanche's classic benchmarks by name."""

from __future__ import annotations

import inspect
from typing import Any

import avalanche.benchmarks.classic as classic
import torch
from avalanche.benchmarks import CLScenario

from plastic_env.errors import InvalidData, look_up

_ROOTS = ("dataset_root", "data_root")
_CLASSIC = {
    name: make
    for name, make in vars(classic).items()
    if inspect.isfunction(make) and any(root in inspect.signature(make).parameters for root in _ROOTS)
}


def make_classic(name: str, *, experiences: int | None, seed: int, root: str | None) -> CLScenario:
    """What the function `name` of `avalanche.benchmarks.classic` makes.

    Args:
        experiences: passed on where the function takes a number of experiences. seed: likewise. root: the folder of its
            data, laid out as torchvision does; None for Avalanche's own (~/.avalanche/data). Avalanche downloads what
            isn't there.

    Raises:
        UnknownName: no such function. InvalidData: it fails.
    """
    make = look_up(_CLASSIC, name, "benchmark of avalanche.benchmarks.classic")
    takes = inspect.signature(make).parameters
    given: dict[str, Any] = {"n_experiences": experiences, "seed": seed} | dict.fromkeys(_ROOTS, root)
    with torch.random.fork_rng(devices=()):  # Avalanche seeds torch's generator
        try:
            return make(**{key: value for key, value in given.items() if key in takes})
        except Exception as error:
            raise InvalidData(
                f"Avalanche's {name} can't be made: {type(error).__name__}: {error} (Its data are looked for in "
                f"{root or '~/.avalanche/data'}, and downloaded if they aren't there; PLASTIC_ENV_DATA names another "
                "folder.)"
            ) from error
