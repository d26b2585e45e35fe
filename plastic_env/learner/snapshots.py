"""Snapshots: everything that decides the future of learners, in memory or in one file of plain tensors and numbers.

A file is a header, a digest, and what `torch.save` makes of tensors, numbers and strings. It is read with
`weights_only=True`: no code in a file is ever run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plastic_env.errors import InvalidSnapshot
from plastic_env.files import write_atomically
from plastic_env.learner.parameters import Layer
from plastic_env.learner.population import Population
from plastic_env.learner.state import PER_LEARNER, UNIT_FIELDS, State, Units
from plastic_env.learner.trainability import TRAINABILITY, Phase

HEADER = b"plastic_env snapshot 5\n"
Captured = dict[str, Any]
_RULES = {type(rule).__name__: type(rule) for rule in TRAINABILITY.values() if rule is not None}


def save(path: Path, captured: Captured) -> None:
    """Write what was captured to one file, whole or not at all.

    Raises:
        FileError: the file can't be written.
        InvalidSnapshot: a trainability rule of somebody's own is in force.
    """
    buffer = io.BytesIO()
    torch.save(_plain(captured), buffer)
    content = buffer.getvalue()
    whole = HEADER + hashlib.sha256(content).digest() + content
    write_atomically(path, lambda unfinished: unfinished.write_bytes(whole))


def load(path: Path) -> Captured:
    """Read a file that `save` has written.

    Raises:
        InvalidSnapshot: there is no such file, it is no snapshot of this version, or it is damaged.
    """
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise InvalidSnapshot(f"{path} can't be read: {error}.") from error
    if not whole.startswith(HEADER):
        raise InvalidSnapshot(f"{path} is no snapshot of plastic_env, or one of another version.")
    digest, content = whole[len(HEADER) :][:32], whole[len(HEADER) + 32 :]
    if hashlib.sha256(content).digest() != digest:
        raise InvalidSnapshot(f"{path} is damaged: its content doesn't match its digest. Use another copy.")
    captured: Captured = torch.load(io.BytesIO(content), weights_only=True)
    return captured


def capture(population: Population, members: Sequence[int] | None = None) -> Captured:
    """A copy of the state and generators of `members` (default: all), who may be named more than once."""
    state, rows = population.state, list(range(len(population)) if members is None else members)
    layers = {"initial": state.initial, "checkpoint": state.checkpoint or []}
    return {
        "settings": repr(population.settings),
        "network": repr(population.network),
        "widths": list(state.layout.widths[1:]),
        "weights": state.weights[rows],
        "moments": [flat[rows] for flat in state.moments],
        "unit_memory": [layer[rows] for layer in state.unit_memory],
        **{name: [[t[rows] for t in layer] for layer in found] for name, found in layers.items()},
        **{name: torch.from_numpy(getattr(state, name)[rows]) for name in PER_LEARNER},
        "units": [
            torch.from_numpy(np.stack([getattr(units, name)[rows] for name in UNIT_FIELDS])) for units in state.units
        ],
        "phases": [list(state.phases[member]) for member in rows],
        "noise": [population.noise_rngs[member].get_state() for member in rows],
        "generators": [json.dumps(population.rngs[member].bit_generator.state) for member in rows],
    }


def restore(population: Population, captured: Captured) -> None:
    """Put a population into a captured state: from here on it does what the captured one would have done.

    Raises:
        InvalidSnapshot: the captured learners have other settings, or are of another number.
    """
    if captured["settings"] != repr(population.settings) or len(captured["noise"]) != len(population):
        raise InvalidSnapshot(
            f"The snapshot holds {len(captured['noise'])} learner(s) with {captured['settings']}; "
            f"this population has {len(population)} with {population.settings!r}."
        )
    like = population.state.weights
    if captured["weights"].dtype != like.dtype:
        raise InvalidSnapshot(f"The snapshot's weights are {captured['weights'].dtype}; here they are {like.dtype}.")
    if captured["network"] != repr(population.network):
        raise InvalidSnapshot(f"The snapshot's network is {captured['network']}; here it is {population.network!r}.")
    population.state = State(
        network=population.network,
        units=tuple(Units(*(field.copy() for field in layer.numpy())) for layer in captured["units"]),
        initial=[Layer(*(t.to(like, copy=True) for t in layer)) for layer in captured["initial"]],
        layout=population.network.layout(captured["widths"]),
        weights=captured["weights"].to(like, copy=True),
        moments=[flat.to(like, copy=True) for flat in captured["moments"]],
        unit_memory=[layer.to(like, copy=True) for layer in captured["unit_memory"]],
        phases=tuple(tuple(map(_phase, member)) for member in captured["phases"]),
        checkpoint=[Layer(*(t.to(like, copy=True) for t in layer)) for layer in captured["checkpoint"]] or None,
        **{name: captured[name].numpy().copy() for name in PER_LEARNER},
    )
    for generator, noise in zip(population.noise_rngs, captured["noise"], strict=True):
        generator.set_state(noise)
    for rng, text in zip(population.rngs, captured["generators"], strict=True):
        rng.bit_generator.state = json.loads(text)


def _plain(captured: Any) -> Any:
    """The same with phases as plain values."""
    if isinstance(captured, dict):
        return {name: _plain(value) for name, value in captured.items()}
    if isinstance(captured, list):
        return [_plain(value) for value in captured]
    return _values(captured) if isinstance(captured, Phase) else captured


def _values(phase: Phase) -> list[Any]:
    name = type(phase.rule).__name__
    if _RULES.get(name) is not type(phase.rule):
        raise InvalidSnapshot(
            f"The trainability rule {name} is in force; it can't be kept in a file: wait until it is over, or use one "
            f"of {', '.join(_RULES)}."
        )
    # numpy's scalars would have to be pickled
    settings = {
        key: value.item() if isinstance(value, np.generic) else value for key, value in vars(phase.rule).items()
    }
    return [name, settings, phase.cohort, phase.since]


def _phase(found: Phase | list[Any]) -> Phase:
    """The phase, or the one that `_values` made these of."""
    if isinstance(found, Phase):
        return found
    name, settings, cohort, since = found
    return Phase(_RULES[name](**settings), cohort, since)
