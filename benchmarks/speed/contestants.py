"""Who is timed: each makes a function that trains for a while and returns how many learner-updates it has made."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from cases import Case, Noise
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.utils.data import TensorDataset

from plastic_env import EpisodeSettings, PlasticEnv, Population

Run = Callable[[], int]


def rate(run: Run, seconds: float) -> float:
    """Learner-updates per second."""
    start, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        done += run()
    return done / spent


def learners(case: Case, n: int, live: float = 1.0, threads: int = 1) -> Population:
    """n of them, alive."""
    made = Population(n, case.inputs, 10, replace(case.learner, live=live), threads=threads)
    made.begin({member: np.random.default_rng(member) for member in range(n)})
    return made


def plain_loop(case: Case) -> Run:
    """One network, PyTorch's own layers, autograd and optimizer."""
    module = case.module()
    optimizer, (x, y) = case.torch_optimizer(module.parameters()), case.batches(case.stretch)
    x = _images(case, x)

    def run() -> int:
        for inputs, labels in zip(x, y, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(module(inputs), labels).backward()
            optimizer.step()
        return len(x)

    return run


def avalanche_naive(case: Case) -> Run:
    """One network under Avalanche's Naive strategy, without metrics and loggers."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from avalanche.benchmarks import benchmark_from_datasets
        from avalanche.benchmarks.utils import as_classification_dataset
        from avalanche.training.plugins import EvaluationPlugin
        from avalanche.training.supervised import Naive
    x, y = case.batches(case.stretch)
    samples = TensorDataset(_images(case, x.flatten(0, 1)[None])[0], y.flatten())
    samples.targets = y.flatten().tolist()
    data = as_classification_dataset(samples)
    module = case.module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no loggers
        evaluator = EvaluationPlugin(loggers=[])
    strategy = Naive(
        model=module,
        optimizer=case.torch_optimizer(module.parameters()),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=case.batch,
        train_epochs=1,
        evaluator=evaluator,
    )
    (experience,) = benchmark_from_datasets(train=[data], test=[data]).train_stream

    def run() -> int:
        strategy.train(experience)
        return case.stretch

    return run


def vmap_ensemble(case: Case, n: int) -> Run:
    """n networks by torch.func: gradients by vmap over stacked parameters, one torch optimizer for all."""
    modules = [case.module() for _ in range(n)]
    parameters, buffers = stack_module_state(modules)
    optimizer, (x, y) = case.torch_optimizer(parameters.values()), case.batches(case.stretch)
    x = _images(case, x)
    base = case.module().to("meta")

    def loss(parameters, buffers, inputs, labels):
        return F.cross_entropy(functional_call(base, (parameters, buffers), (inputs,)), labels)

    gradients = vmap(grad_and_value(loss), in_dims=(0, 0, None, None))

    def run() -> int:
        for inputs, labels in zip(x, y, strict=True):
            found, _ = gradients(parameters, buffers, inputs, labels)
            for name, parameter in parameters.items():
                parameter.grad = found[name]
            optimizer.step()
        return len(x) * n

    return run


def environment(case: Case) -> Run:
    """`PlasticEnv.step` with a budget of 100 and no edit, with all that belongs to a decision."""
    budget = 100
    env = PlasticEnv(Noise(case), EpisodeSettings(case.learner))
    env.reset(seed=0)
    action = env.episode.action(budget=budget)

    def run() -> int:
        env.step(action)
        return budget

    return run


def population(case: Case, n: int, threads: int = 1) -> Run:
    """n learners by `Population.train`."""
    made = learners(case, n, threads=threads)
    k = max(1, 64 // max(1, n // 32)) if isinstance(case.inputs, int) else 8
    x, y = case.batches(k)
    x, y = (t[:k, None].expand(-1, n, *t.shape[1:]).contiguous() for t in (x, y))

    def run() -> int:
        made.train(x, y)
        return k * n

    return run


def _images(case: Case, x: torch.Tensor) -> torch.Tensor:
    """[k, batch, features] as networks take it."""
    if isinstance(case.inputs, int):
        return x
    images = x.unflatten(-1, case.inputs)
    return images.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, images.shape[:2])


def contestants(case: Case) -> dict[str, Callable[[], Run]]:
    """All that are timed on one thread, by name."""
    found: dict[str, Callable[[], Run]] = {
        "plain PyTorch loop": partial(plain_loop, case),
        "Avalanche Naive": partial(avalanche_naive, case),
        "environment": partial(environment, case),
    }
    sizes = (8,) if case.net == "ConvNet" else (8, 32, 128)
    found[f"vmap ensemble of {min(32, sizes[-1])}"] = partial(vmap_ensemble, case, min(32, sizes[-1]))
    return found | {f"population of {n}": partial(population, case, n) for n in sizes}
