"""What plastic_env measures of networks as metrics of Avalanche: plasticity against a fresh network, dormant units,
effective rank, parity of newborns (Avalanche's issue 1510 wishes for such).

All are emitted at the end of every training epoch, per hidden layer where they are of units:
"DormantFraction_Layer0_Epoch/train_phase/train_stream/Task000". Layers are numbered over all hidden ones, from 0 at the
inputs, whether edits may change them or not.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from avalanche.evaluation.metric_utils import get_metric_name
from avalanche.models.utils import avalanche_forward
from torch import Tensor, nn

from plastic_env.avalanche.plugin import PlasticPlugin
from plastic_env.env.reference import relative_accuracy
from plastic_env.errors import InvalidSetting
from plastic_env.learner import diagnostics


def plasticity_metrics(
    *,
    relative_plasticity: bool = False,
    dormant: bool = False,
    effective_rank: bool = False,
    parity: bool = False,
    samples: int = 256,
    seed: int = 0,
) -> list[PluginMetric]:
    """The metrics that are asked for, for `EvaluationPlugin`.

    Args:
        relative_plasticity: see `RelativePlasticity`; takes as much time again as the training itself.
        dormant, effective_rank: see `DormantFraction`, `EffectiveRank`.
        parity: see `GradientParity`; needs a `PlasticPlugin` in the strategy.
        samples: how many of those trained on last units are measured on. seed: of the fresh networks.
    """
    found: list[PluginMetric] = [RelativePlasticity(seed)] if relative_plasticity else []
    found += [DormantFraction(samples)] if dormant else []
    found += [EffectiveRank(samples)] if effective_rank else []
    return found + ([GradientParity()] if parity else [])


class LayerMetric(PluginMetric):
    """Base of metrics of hidden layers: one value per layer and epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[int, float] = {}

    def measure(self, strategy: Any) -> dict[int, float]:
        """The value of each hidden layer that has one now."""
        raise NotImplementedError

    def result(self) -> dict[int, float]:
        """The latest values by hidden layer."""
        return self._values

    def reset(self) -> None:
        """Forget them."""
        self._values = {}

    def after_training_epoch(self, strategy: Any) -> list[MetricValue]:
        """Measure and emit."""
        self._values = self.measure(strategy)
        at = strategy.clock.train_iterations
        return [
            MetricValue(self, get_metric_name(f"{self}_Layer{layer}_Epoch", strategy), value, at)
            for layer, value in self._values.items()
        ]

    def __str__(self) -> str:
        return type(self).__name__


class FeatureMetric(LayerMetric):
    """Base of metrics of what a hidden layer's units say of samples.

    A layer is an nn.Linear or nn.Conv2d but the last, in the order in which the network holds them. Its features are
    what the next one is fed: after activation and pooling, in evaluation mode; positions, and several outputs of a
    unit, count as further samples.

    Args:
        samples: how many of those that were trained on last.
    """

    def __init__(self, samples: int = 256) -> None:
        super().__init__()
        self.samples = samples
        self._seen: list[tuple[Tensor, Tensor]] = []

    def of(self, features: Tensor) -> Tensor:
        """The value of a layer with features [samples, units]."""
        raise NotImplementedError

    def after_training_iteration(self, strategy: Any) -> None:
        """Remember the samples."""
        self._seen.append((strategy.mb_x.detach(), strategy.mbatch[-1]))
        while sum(len(x) for x, _ in self._seen[1:]) >= self.samples:
            del self._seen[0]

    def measure(self, strategy: Any) -> dict[int, float]:
        """All hidden layers."""
        x, tasks = (torch.cat(part)[-self.samples :] for part in zip(*self._seen, strict=True))
        layers = hidden_features(strategy.model, lambda model: avalanche_forward(model, x, tasks))
        return {layer: float(self.of(features)) for layer, features in layers.items()}


class DormantFraction(FeatureMetric):
    """Fraction of a layer's units with a ReDo score of at most .025 (Sokar et al. 2023)."""

    def of(self, features: Tensor) -> Tensor:
        """Of features [samples, units], a number: see `diagnostics.dormant_fraction`."""
        return diagnostics.dormant_fraction(features, torch.ones(features.shape[1], device=features.device).bool())


class EffectiveRank(FeatureMetric):
    """exp of the entropy of the normalised singular values of a layer's features (Roy & Vetterli 2007)."""

    def of(self, features: Tensor) -> Tensor:
        """Of features [samples, units], a number: see `diagnostics.effective_rank`."""
        return diagnostics.effective_rank(diagnostics.singular_values(features))


class GradientParity(LayerMetric):
    """Mean |dL/dz| of the newest units over that of all older ones (arXiv 2605.15435), from e^-5 to e^5, in those
    editable layers that have both; of the strategy's `PlasticPlugin`.

    Raises:
        InvalidSetting: there is no such plugin.
    """

    def measure(self, strategy: Any) -> dict[int, float]:
        """The layers that can be compared."""
        plugins = [plugin for plugin in strategy.plugins if isinstance(plugin, PlasticPlugin)]
        if not plugins:
            raise InvalidSetting(
                "Parity compares newborn units with older ones, and only a PlasticPlugin brings newborns; add one to "
                "the strategy's plugins, or leave parity out."
            )
        found, population = plugins[0].measure(), plugins[0].population
        if found is None or population is None:
            return {}
        comparable = np.flatnonzero(found.comparable[0])  # among the editable layers
        hidden = population.network.editable
        return {hidden[layer]: float(np.exp(found.log_gradient_parity[0, layer])) for layer in comparable}


class RelativePlasticity(PluginMetric):
    """Accuracy while training on an experience so far, over that of a fresh network trained on the same minibatches;
    below 1, plasticity has been lost.

    Each batch is scored before it is trained on. The fresh network is a copy of the network as it is in the
    experience's first iteration, with all of its modules' `reset_parameters` called, and trained by the strategy's
    criterion and an optimizer of the same kind and settings, without what plugins add to the loss.

    Args:
        seed: of the fresh networks' weights.

    Raises:
        InvalidSetting: a module with parameters that doesn't know how to draw them anew.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget the experience."""
        self._accuracy: list[float] = []
        self._fresh_accuracy: list[float] = []
        self._fresh: tuple[nn.Module, torch.optim.Optimizer] | None = None

    def result(self) -> float | None:
        """The ratio over the experience so far; None before its first batch."""
        if not self._accuracy:
            return None
        return relative_accuracy(np.array(self._accuracy), np.array(self._fresh_accuracy))

    def before_training_exp(self, strategy: Any) -> None:
        """Begin anew."""
        self.reset()

    def before_forward(self, strategy: Any) -> None:
        """Draw the fresh network once plugins have had their turn."""
        if self._fresh is None:
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(self.seed + strategy.clock.train_exp_counter)
                model = fresh_copy(strategy.model)
            group = strategy.optimizer.param_groups[0]
            kind = type(strategy.optimizer)
            takes = inspect.signature(kind).parameters  # AdamW's groups hold more than it takes
            open_ended = any(each.kind is each.VAR_KEYWORD for each in takes.values())
            names = [name for name in strategy.optimizer.defaults if name in group and (open_ended or name in takes)]
            self._fresh = model, kind(model.parameters(), **{name: group[name] for name in names})

    def after_training_iteration(self, strategy: Any) -> None:
        """Score both networks and train the fresh one."""
        assert self._fresh is not None
        model, optimizer = self._fresh
        with torch.random.fork_rng(devices=()):  # dropout must not change what the strategy draws
            logits = avalanche_forward(model, strategy.mb_x, strategy.mbatch[-1])
        for found, output in ((self._accuracy, strategy.mb_output), (self._fresh_accuracy, logits)):
            found.append(float((output.argmax(1) == strategy.mb_y).double().mean()))
        optimizer.zero_grad()
        strategy._criterion(logits, strategy.mb_y).backward()
        optimizer.step()

    def after_training_epoch(self, strategy: Any) -> list[MetricValue]:
        """Emit."""
        name = get_metric_name(f"{self}_Epoch", strategy)
        return [MetricValue(self, name, self.result(), strategy.clock.train_iterations)]

    def __str__(self) -> str:
        return "RelativePlasticity"


def fresh_copy(model: nn.Module) -> nn.Module:
    """A copy with all parameters drawn anew, by torch's generator.

    Raises:
        InvalidSetting: a module has parameters, but no `reset_parameters`.
    """
    made = copy.deepcopy(model)
    for name, module in made.named_modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
        elif next(module.parameters(recurse=False), None) is not None:
            raise InvalidSetting(
                f"The module {name or type(module).__name__} has parameters, but no reset_parameters to draw them "
                "anew; give it one, or leave out relative_plasticity."
            )
    return made.train()


def hidden_features(model: nn.Module, run: Callable[[nn.Module], object]) -> dict[int, Tensor]:
    """Features [samples, units] by hidden layer (see `FeatureMetric`), of those layers that `run` runs."""
    layers = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    found: dict[int, Tensor] = {}

    def watch(at: int, units: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: found.update({at: _by_unit(inputs[0], units)})

    hooks = [
        above.register_forward_pre_hook(watch(at, len(below.weight)))
        for at, (below, above) in enumerate(pairwise(layers))
    ]
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            run(model.eval())
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return dict(sorted(found.items()))


def _by_unit(x: Tensor, units: int) -> Tensor:
    """What a layer is fed [samples, ...] as [more samples, units of the layer below]."""
    flat = x.flatten(1)
    if flat.shape[1] % units:
        return flat
    return flat.unflatten(1, (units, -1)).movedim(-1, 1).flatten(0, 1)
