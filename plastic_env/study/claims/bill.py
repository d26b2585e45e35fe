"""What a size takes: multiply-accumulates, and hours here and on a faster machine, found without running it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from plastic_env.agents import Method
from plastic_env.env.encoding import GLOBAL_FIELDS, LAYER_FIELDS, EpisodeSpec
from plastic_env.env.episode import EpisodeSettings
from plastic_env.learner.compute import training_macs
from plastic_env.learner.network import Network
from plastic_env.learner.population import Population
from plastic_env.learner.settings import LearnerSettings
from plastic_env.scenarios import find
from plastic_env.streams.stream import Signature
from plastic_env.study.assignment import assigned
from plastic_env.study.claims.protocol import (
    BOOKKEEPING,
    BOOKKEPT,
    COMPARED,
    INITS,
    RANKED,
    THREE,
    WEIGHED,
    Cycles,
    Protocol,
    Shifts,
)
from plastic_env.study.methods import find_method
from plastic_env.study.text import aligned

GPU = 2e12  # multiply-accumulates a second that a GPU is taken to sustain: an assumption, not a measurement
TRIAL = 3  # updates that are timed
TOGETHER = 4  # most learners that are timed at once


class Bill(NamedTuple):
    """What a claim takes beyond those before it. lives: how many networks live. macs: of training them all; probes and
    tests are not counted. hours: on one core here."""

    claim: str
    lives: int
    macs: float
    hours: float


class Life(NamedTuple):
    """The lives of a method, one for each seed. part: what they live on. method: as a study writes it. ticket: whether
    it is the ticket of that."""

    part: Cycles | Shifts
    method: str
    ticket: bool = False


def bills(protocol: Protocol, names: Sequence[str]) -> list[Bill]:
    """A line for each claim; what several need stands with the first. Lives at equal compute are not counted."""
    wanted, counted, found = needs(protocol), set[Life](), []
    for name in names:
        lives = [life for life in wanted[name] if life not in counted]
        counted.update(lives)
        prices = [_price(life) for life in lives]
        macs, hours = (sum(column) for column in zip(*prices, strict=True)) if prices else (0.0, 0.0)
        found.append(Bill(name, sum(life.part.seeds for life in lives), macs, hours))
    return found


def as_table(found: Sequence[Bill], cores: int) -> str:
    """The lines and their sum, for people."""
    total = Bill("all", *(sum(column) for column in zip(*(bill[1:] for bill in found), strict=True)))
    heads = ("claim", "lives", "MACs", f"hours here, {cores} cores", f"GPU hours at {GPU:.0e} MACs/s")
    return aligned(
        [
            heads,
            *(
                (b.claim, str(b.lives), f"{b.macs:.2e}", f"{b.hours / cores:.1f}", f"{b.macs / GPU / 3600:.1f}")
                for b in (*found, total)
            ),
        ]
    )


def needs(protocol: Protocol) -> dict[str, list[Life]]:
    """What each claim and question runs, each once."""
    images, adam, streams, classes = protocol.images, protocol.adam, protocol.streams, protocol.classes
    few = images.compactness[0]
    interventions = adam.interventions()
    judged = {name: written for name, written in interventions.items() if name not in BOOKKEEPING}
    cut = [images.cut(k) for k in protocol.events]
    grown = [replace(images, init=init) for init in INITS]
    found = {
        "C1": [*_cycles(protocol.mlp, THREE), *_cycles(protocol.mlp, THREE, ticket=True)],
        "C2": _cycles(images, THREE),
        "C3": _cycles(images, THREE),
        "C4": [*_cycles(images, THREE), *_cycles(images, THREE, ticket=True)],
        "C5": _cycles(images, ("grow",)),
        "C6": [Life(adam, written, ticket) for ticket in (False, True) for written in judged.values()],
        "C7": [Life(part, part.edited("grow", few)) for part in cut],
        "C8": [life for stream in streams for life in _stream(stream, RANKED)],
        "C9": _stream(classes, RANKED),
        "rewind": [*_cycles(images, COMPARED), *(life for stream in streams for life in _stream(stream, COMPARED))],
        "compute": [life for stream in (*streams, classes) for life in _stream(stream, WEIGHED)],
        "init": [Life(part, part.edited("grow", few)) for part in grown],
        "state": [Life(adam, interventions[name]) for name in BOOKKEPT],
        "time": [Life(adam, written) for written in interventions.values()],
    }
    return {name: list(dict.fromkeys(lives)) for name, lives in found.items()}


def _cycles(part: Cycles, names: Sequence[str], ticket: bool = False) -> list[Life]:
    return [Life(part, part.edited(name, c), ticket) for c in part.compactness for name in names]


def _stream(part: Shifts, names: Sequence[str]) -> list[Life]:
    return [Life(part, part.methods[name]) for name in names]


def _price(life: Life) -> tuple[float, float]:
    """Multiply-accumulates of all seeds, and the hours that they take on one core here."""
    part = life.part
    study = part.study({life.method: life.method}) if isinstance(part, Cycles) else part.study("dense")
    signature = part.signature
    options = assigned(dict(study.settings), study.scenarios[0]).options
    method = find_method(life.method, options).method
    lengths, batch = _lengths(part)
    paths = _macs(method.learner, signature, _widths(method, lengths)) * batch
    macs = float(paths[-1] * sum(lengths) if life.ticket else paths @ np.array(lengths)) * part.seeds
    return macs, macs / _rate(method.learner, signature, batch, part.seeds) / 3600


def _lengths(part: Cycles | Shifts) -> tuple[list[int], int]:
    """Updates of each task, and samples per update."""
    if isinstance(part, Cycles):
        return [part.updates] * part.cycles, part.batch_size
    made: Any = find(part.scenario, **assigned(dict(part.changes), part.scenario).scenario)
    return [made.updates] * made.tasks, made.batch_size


def _widths(method: Method, lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Live units of the editable layers in each task, of a method that acts at shifts by how far the stream is."""
    learner, agent, updates = method.learner, method.make(), sum(lengths)
    limits = EpisodeSettings(learner)
    spec = EpisodeSpec(learner.slots, learner.live_units, updates, limits.max_budget, limits.boundaries)
    agent.reset(spec, 0)
    live, found = np.array(learner.live_units), []
    for task, start in enumerate(np.cumsum([0, *lengths[:-1]])):
        overall = np.zeros(len(GLOBAL_FIELDS), dtype=np.float32)
        overall[GLOBAL_FIELDS.index("progress")] = start / updates
        observation = {"global": overall, "layers": np.zeros((len(live), len(LAYER_FIELDS)), dtype=np.float32)}
        action = agent.act(observation, {"shift": task > 0, "live": live, "updates": int(start)})
        live = live + action["grow"] - action["prune"]
        found.append(tuple(map(int, live)))
    return found


def _macs(learner: LearnerSettings, signature: Signature, widths: Sequence[tuple[int, ...]]) -> np.ndarray:
    """[tasks] multiply-accumulates of training on one sample."""
    network = Network.of(learner, signature.inputs, signature.outputs)
    fixed = [learner.live_of(spec) for spec in learner.layers]
    found = []
    for live in widths:
        hidden = list(fixed)
        for layer, units in zip(network.editable, live, strict=True):
            hidden[layer] = units
        found.append(training_macs(network, (network.input_units, *hidden, signature.outputs)))
    return np.array(found, dtype=np.float64)


@cache
def _rate(learner: LearnerSettings, signature: Signature, batch: int, seeds: int) -> float:
    """Multiply-accumulates a second of training so many learners at once on one core, on random numbers."""
    rng, threads, seeds = np.random.default_rng(0), torch.get_num_threads(), min(seeds, TOGETHER)
    x = torch.from_numpy(rng.standard_normal((TRIAL, seeds, batch, math.prod(np.atleast_1d(signature.inputs))), "f4"))
    y = torch.from_numpy(rng.integers(signature.outputs, size=(TRIAL, seeds, batch)))
    population = Population(seeds, signature.inputs, signature.outputs, learner)
    population.begin({seed: np.random.default_rng(seed) for seed in range(seeds)})
    torch.set_num_threads(1)
    try:
        population.train(x, y)  # warms up
        start = time.perf_counter()
        population.train(x, y)
        seconds = time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)
    per_sample = _macs(learner, signature, [learner.live_units])[0]
    return float(per_sample) * TRIAL * seeds * batch / seconds
