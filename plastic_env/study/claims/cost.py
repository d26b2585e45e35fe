"""What a size takes: multiply-accumulates, and hours here and on a faster machine, found without running it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
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
from plastic_env.study.claims.protocol import Cycles, Protocol, Shifts, signature_of
from plastic_env.study.methods import find_method
from plastic_env.study.sweep import Study
from plastic_env.study.text import aligned

GPU = 2e12  # multiply-accumulates a second that a GPU is taken to sustain: an assumption, not a measurement
TRIAL = 3  # updates that are timed
TOGETHER = 4  # most learners that are timed at once


class Bill(NamedTuple):
    """What one part takes. lives: how many networks live. macs: of training them all; probes and tests are not counted.
    rate: multiply-accumulates a second, measured on one core here."""

    part: str
    lives: int
    macs: float
    rate: float


def bills(protocol: Protocol) -> list[Bill]:
    """A line for each part of a size. Equal compute (a question of its own) is not counted."""
    return list(_bills(protocol))


def as_table(found: Sequence[Bill], cores: int) -> str:
    """The lines and their sum, for people."""
    rows = [("part", "lives", "MACs", f"hours here, {cores} cores", f"GPU hours at {GPU:.0e} MACs/s")]
    hours = [bill.macs / bill.rate / 3600 / cores for bill in found]
    for bill, here in zip(found, hours, strict=True):
        rows.append((bill.part, str(bill.lives), f"{bill.macs:.2e}", f"{here:.1f}", f"{bill.macs / GPU / 3600:.1f}"))
    macs = sum(bill.macs for bill in found)
    total = ("all", str(sum(b.lives for b in found)), f"{macs:.2e}", f"{sum(hours):.1f}", f"{macs / GPU / 3600:.1f}")
    return aligned([*rows, total])


def _bills(protocol: Protocol) -> Iterator[Bill]:
    images, adam = protocol.images, protocol.adam
    controls = {w: None for c in images.compactness for w in images.controls(c).values()}
    yield _of_cycles("C1", protocol.mlp, _compared(protocol.mlp), tickets=len(_compared(protocol.mlp)))
    yield _of_cycles("C2 to C5, rewind", images, list(controls), tickets=len(_compared(images)))
    methods = list(adam.interventions().values())
    yield _of_cycles("C6, state, time", adam, methods, tickets=len(methods) - 1)
    for cycles in protocol.events:
        if cycles != images.cycles:
            part = images.cut(cycles)
            yield _of_cycles(f"C7, {cycles} cycles", part, [part.edited("grow", images.compactness[0])])
    yield _of_cycles("init", images, [images.edited("grow", images.compactness[0])])
    for stream in protocol.streams:
        yield _of_stream("C8", stream)
    yield _of_stream("C9", protocol.classes)


def _compared(part: Cycles) -> list[str]:
    """Dense, Grow and Prune at each budget, each once."""
    found = (part.edited(name, c) for c in part.compactness for name in ("dense", "grow", "prune"))
    return list(dict.fromkeys(found))


def _of_cycles(name: str, part: Cycles, methods: Sequence[str], tickets: int = 0) -> Bill:
    """tickets: how many of the methods' tickets are trained, at the width that a method ends with."""
    study, signature = part.study({method: method for method in methods}), signature_of(part.data)
    made = [find_method(method, _options(study, method)).method for method in methods]
    paths = [_widths(method, [part.updates] * part.cycles) for method in made]
    per_update = [_macs(m, signature, path) * part.batch_size for m, path in zip(made, paths, strict=True)]
    updates = part.updates * part.cycles
    total = sum(per.mean() for per in per_update) * updates + sum(per[-1] for per in per_update[:tickets]) * updates
    lives = (len(methods) + tickets) * part.seeds
    rate = _rate(made[0].learner, signature, part.batch_size, part.seeds)
    return Bill(f"{name}: {part.data}", lives, float(total) * part.seeds, rate)


def _of_stream(name: str, part: Shifts) -> Bill:
    names = tuple(part.methods)
    study, signature = part.study(*names), signature_of(part.data)
    known = set(vars(find(part.scenario)))
    scenario = find(part.scenario, **{key: value for key, value in part.changes if key in known})
    lengths = _lengths(scenario)
    total, made = 0.0, [find_method(w, _options(study, w)).method for w in part.methods.values()]
    for method in made:
        per_update = _macs(method, signature, _widths(method, lengths)) * scenario.batch_size  # type: ignore[attr-defined]
        total += float(per_update @ np.array(lengths))
    rate = _rate(made[0].learner, signature, scenario.batch_size, part.seeds)  # type: ignore[attr-defined]
    return Bill(f"{name}: {part.title}", len(made) * part.seeds, total * part.seeds, rate)


def _lengths(scenario: Any) -> list[int]:
    """Updates of each task."""
    return [scenario.updates] * scenario.tasks


def _options(study: Study, written: str) -> dict[str, Any]:
    """Those settings of a study that are options of a method."""
    known = find_method(written).method.options
    return {name: value for name, value in dict(study.settings).items() if name in known}


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


def _macs(method: Method, signature: Signature, widths: Sequence[tuple[int, ...]]) -> np.ndarray:
    """[tasks] multiply-accumulates of training on one sample."""
    network = Network.of(method.learner, signature.inputs, signature.outputs)
    fixed = [method.learner.live_of(spec) for spec in method.learner.layers]
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
    per_sample = _macs(Method("", object, learner), signature, [learner.live_units])[0]  # type: ignore[arg-type]
    return float(per_sample) * TRIAL * seeds * batch / seconds
