"""Our agents inside Avalanche's strategies: edits between iterations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from plastic_env.avalanche.mirror import Mirror, classes_of, inputs_of, like
from plastic_env.env.agent import Agent
from plastic_env.env.encoding import Codec
from plastic_env.env.episode import EpisodeSettings, Outcome, Plan
from plastic_env.env.standing import Standing
from plastic_env.errors import InvalidEdit, InvalidSetting, check_whole
from plastic_env.learner.export import to_module
from plastic_env.learner.network import Shape
from plastic_env.learner.population import Population
from plastic_env.learner.probing import Diagnosis, Probe, diagnose
from plastic_env.learner.settings import LearnerSettings
from plastic_env.streams.stream import Signature

_SIZE = 16  # of batches, where there are none yet


class PlasticPlugin(SupervisedPlugin):
    """Lets an agent edit the network that an Avalanche strategy trains.

    Units are scored, chosen, inserted and removed by the rules of plastic_env's own learners: the network and the
    optimizer's state are read into one, it is edited, and what has changed is written back. Parameters whose shape
    stays are changed in place or not at all, their optimizer state likewise; others are replaced in the network, in the
    optimizer (with the state of the units that stay) and in what the strategy knows of the optimizer's parameters, so
    that `check_model_and_optimizer` finds nothing to do.

    The agent decides before the first iteration of an experience (a shift, but for the first one) and whenever the
    budget of its last action is used up. It sees what it sees in an episode, on the samples that were trained on last.

    torch's Adam counts steps per parameter, not per unit: `optimizer_state="fresh"` becomes "padded", newborns' state
    is empty but as old as the layer's; rewinding and resetting start all counts anew. Trainability rules are refused:
    torch's optimizers have no learning rate per unit. Randomised activations are exported as their mean, and so
    trained. Avalanche's EWC, which compares parameters with those after earlier experiences, can follow growth of
    layers that aren't neighbours, not pruning.

    Args:
        agent: with `reset` and `act`.
        learner: the network's settings: `hidden` are the slots; `optimizer` is ignored, the strategy's own counts.
        updates: how many iterations the whole training has, for the agent's sense of progress; it can't go on for more.
        every: the most iterations between two decisions (`max_budget`).
        seed: of the agent, of the network that `network` makes and of what edits draw.
        probe_samples: how many of the samples that were trained on last units are measured on.

    Raises:
        InvalidSetting: what is no agent, or a number that makes no sense; later, a network that isn't the learner's, or
            more iterations than `updates`.

    Attributes:
        outcomes: what came of each decision, in order.
        population: the learner that is edited, as of the latest decision; None before training.
    """

    def __init__(
        self,
        agent: Agent,
        learner: LearnerSettings,
        *,
        updates: int,
        every: int = 1000,
        seed: int = 0,
        probe_samples: int = 64,
    ) -> None:
        super().__init__()
        if isinstance(agent, type) or not all(callable(getattr(agent, name, None)) for name in ("reset", "act")):
            given = f"the class {agent.__name__}" if isinstance(agent, type) else repr(agent)
            raise InvalidSetting(f"agent is {given}; give an object with reset and act, such as Recycle().")
        for name, value, least in (("updates", updates, 1), ("every", every, 1), ("seed", seed, 0)):
            check_whole(name, value, least)
        if learner.maintenance:
            rules = ", ".join(type(rule).__name__ for rule in learner.maintenance)
            raise InvalidSetting(
                f"The learner is maintained by {rules}, but the strategy trains the network here; use a strategy or a "
                "plugin of Avalanche's that does the same, and a learner without maintenance."
            )
        self.agent, self.updates, self.seed = agent, updates, seed
        self.settings = EpisodeSettings(learner, max_budget=every, probe_samples=probe_samples)
        self.outcomes: list[Outcome] = []
        self._life: _Life | None = None

    def network(self, inputs: Shape, classes: int) -> nn.Sequential:
        """A new network by the learner's settings and the seed, for samples of any shape with as many features.

        Args:
            inputs: features of a sample, or (channels, height, width). classes: how many.
        """
        begun = _begin(self.settings, Signature(inputs, classes), self.updates, _SIZE, self.seed)
        return nn.Sequential(nn.Flatten(), *to_module(begun.population)).train()

    @property
    def population(self) -> Population | None:
        """The learner that is edited, as of the latest decision; None before training."""
        return None if self._life is None else self._life.standing.population

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take hold of the network, which other plugins may have replaced."""
        if self._life is None:
            self._life = _Life(self.agent, self.settings, strategy, self.updates, self.seed)
        else:
            self._life.bind(strategy)
            self._life.standing.at_shift[0] = True

    def before_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Let the agent act if it is due.

        Raises:
            InvalidSetting: the training goes on for more iterations than `updates`.
        """
        assert self._life is not None
        if self._life.standing.position[0] >= self.updates:
            raise InvalidSetting(
                f"updates is {self.updates}, and the training has had as many iterations and goes on; give "
                "PlasticPlugin(updates=...) all of them: minibatches x epochs, over all experiences."
            )
        if self._life.left == 0:
            self._life.decide(strategy)

    def after_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Score the batch before it is trained on."""
        assert self._life is not None
        self._life.score(strategy.mb_output.detach(), strategy.mb_y)

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Count, and measure once the budget is used up."""
        assert self._life is not None
        self._life.count(strategy.mb_x, strategy.mb_y)
        if self._life.left == 0:
            self.outcomes.append(self._life.finish(shift=False))

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """An experience's end ends the budget."""
        assert self._life is not None
        if self._life.left > 0:
            self.outcomes.append(self._life.finish(shift=True))
        elif self.outcomes:
            self.outcomes[-1] = replace(self.outcomes[-1], shift=True)

    def measure(self) -> Diagnosis | None:
        """The network now, on the samples that were trained on last (arrays [1, layers]); None before there are any.
        Nobody is charged for it, and nothing changes."""
        return None if self._life is None or not self._life.seen else self._life.measure()


def _begin(
    settings: EpisodeSettings, signature: Signature, updates: int, batch_size: int, seed: int, **where: Any
) -> Standing:
    standing = Standing(signature, updates, batch_size, settings, **where)
    standing.begin_learners({0: np.random.default_rng(seed)})
    return standing


class _Life:
    """One network's life in a strategy, which trains it: what an episode's rules make of that."""

    def __init__(self, agent: Agent, settings: EpisodeSettings, strategy: Any, updates: int, seed: int) -> None:
        signature = Signature(inputs_of(strategy.model), classes_of(strategy.model))
        own = replace(settings, learner=replace(settings.learner, optimizer=like(strategy.optimizer)))
        weight = next(strategy.model.parameters())
        self.standing = _begin(
            own, signature, updates, strategy.train_mb_size, seed, device=weight.device, dtype=weight.dtype
        )
        self.codec, self.agent = Codec(self.standing), agent
        self.bind(strategy)
        self.mirror.load()
        self.mirror.adopt()
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.left = 0  # iterations until the next decision
        self.scores = 0.0, 0.0  # accuracy and loss of the present batch
        self.requested: Plan | None = None
        self.outcome: Outcome | None = None
        agent.reset(self.codec.spec, seed)

    def bind(self, strategy: Any) -> None:
        self.mirror = Mirror(strategy.model, strategy.optimizer, self.standing.population)

    def score(self, logits: Tensor, labels: Tensor) -> None:
        self.scores = float((logits.argmax(1) == labels).double().mean()), float(F.cross_entropy(logits, labels))

    def count(self, x: Tensor, y: Tensor) -> None:
        self.seen.append((x.detach().flatten(1), y))
        wanted = self.standing.settings.probe_samples
        while sum(len(labels) for _, labels in self.seen[1:]) >= wanted:
            del self.seen[0]
        accuracy, loss = (np.array([score]) for score in self.scores)
        self.standing.note_training(0, accuracy, loss, len(y))
        self.left -= 1

    def look(self, coming: Any = None) -> Probe:
        """The network as it is, on what was trained on last or, before there is any, on what is to come."""
        self.mirror.load()
        population = self.standing.population
        population.state.updates[0] = self.standing.position[0]
        batches = self.seen or [(coming.mb_x.detach().flatten(1), coming.mb_y)]
        x, y = (torch.cat(part)[-self.standing.settings.probe_samples :] for part in zip(*batches, strict=True))
        return population.probe(x[None], y[None], [0])

    def measure(self) -> Diagnosis:
        with self.standing.only_looking():
            return diagnose(self.look())

    def decide(self, strategy: Any) -> None:
        """Ask the agent and carry out its edit."""
        standing = self.standing
        if self.outcome is None:
            self.mirror.load()
            self.mirror.compare(strategy.model, strategy.mb_x, strategy.mbatch[-1])
        probe = self.look(strategy)  # the same as at the end of the latest step, which has been charged for
        if standing.population.state.frozen[0]:  # diverged: there is nothing left to edit
            self._open(Plan(budget=standing.settings.max_budget))
            return
        if self.outcome is None:
            standing.note(probe)
        observation, info = self.codec.observe(0), self.codec.info(0, self.requested, self.outcome)
        self.requested, plan = self.codec.decode(0, self.agent.act(observation, info))
        if plan.edit.births and plan.edit.trainability != "none":
            raise InvalidEdit(
                f"trainability is {plan.edit.trainability!r}, but torch's optimizers have no learning rate per unit; "
                "ask for 'none' inside a strategy."
            )
        self._open(plan)
        if not plan.edit.empty:
            self._edit(plan, probe, strategy)

    def finish(self, *, shift: bool) -> Outcome:
        """What came of the latest decision."""
        standing = self.standing
        self.left = 0
        standing.note(self.look())
        batches = int(standing.position[0]) - standing.steps[0].start
        self.outcome = standing.close(0, weights=np.full(batches, 1 / standing.updates), shift=shift)
        return self.outcome

    def _open(self, plan: Plan) -> None:
        self.standing.open({0: plan})
        self.left = plan.budget

    def _edit(self, plan: Plan, probe: Probe, strategy: Any) -> None:
        changed = self.standing.edit(probe)
        self.mirror.store(strategy.optimized_param_id, plan.edit.restarts or plan.edit.optimizer_state == "reset")
        if changed:
            self.standing.note_change(probe, self.look(strategy))
