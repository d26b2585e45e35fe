"""PPO (Schulman et al. 2017, arXiv 1707.06347, as stable-baselines3 has it) over a menu of edits and budgets.

    python -m plastic_env.agents.learned.ppo --scenario MixedShiftsDigits-small-v0 --minutes 30 --out policy.pt
    plastic-env compare --scenario MixedShiftsDigits-small-v0 --set split=test --methods ppo:policy.pt recycle dense

A round is a rollout of all learners and an update. Rewards are shares of TAOA, less what a twin gets on the same
instance in the same updates, so that what remains is due to what was done. Every few rounds, the greedy policy lives
on the validation seeds; the file holds the best one so far, also after Ctrl-C.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plastic_env.agents.learned.command import command
from plastic_env.agents.learned.policy import Learned, PolicyNetwork
from plastic_env.agents.learned.training import Keeper, Training, check_network, need, say, twins
from plastic_env.env.features import Features
from plastic_env.errors import InvalidSetting, check_positive, check_share, check_whole, is_finite


@dataclass(frozen=True)
class PPOSettings:
    """How PPO learns.

    learners: how many live at once.
    steps: decisions of each learner per round.
    batch: decisions per gradient step. epochs: passes over a round's decisions.
    lr: of Adam.
    discount: per decision: with two or three of them per task, .9 looks a few tasks ahead.
    trace: lambda of generalised advantage estimation. clip: of probability ratios.
    entropy: weight of the entropy bonus.
    patience: by how much the menu's first item, waiting, starts out likelier than the others, in log-odds. Without it,
        trying edits at random does so much harm that the first thing to be learned is to decide rarely, without a look
        at a new task.
    hidden: widths of the hidden layers of the policy and of the value function.
    unit: updates at full accuracy that make a reward of 1.
    fields: what the policy sees (see `Features`); few are learned from far sooner than all. None for all but the
        effective ranks, whose measuring takes as long as everything else in a decision.
    judged: rounds between two judgements on the validation seeds.

    Raises:
        InvalidSetting: numbers that make no sense.
    """

    learners: int = 32
    steps: int = 32
    batch: int = 256
    epochs: int = 6
    lr: float = 1e-3
    discount: float = 0.9
    trace: float = 0.9
    clip: float = 0.2
    entropy: float = 0.02
    patience: float = 1.5
    hidden: tuple[int, ...] = (32, 32)
    unit: float = 10.0
    fields: tuple[str, ...] | None = ("at_shift", "accuracy", "accuracy_change", "since_edit", "mean.dormant")
    judged: int = 15

    def __post_init__(self) -> None:
        for name in ("learners", "steps", "epochs", "judged"):
            check_whole(name, getattr(self, name))
        check_whole("batch", self.batch, 2)
        for name in ("lr", "clip", "unit"):
            check_positive(name, getattr(self, name))
        for name in ("discount", "trace"):
            check_share(name, getattr(self, name))
        for name in ("entropy", "patience"):
            if not is_finite(getattr(self, name)):
                raise InvalidSetting(f"{name} is {getattr(self, name)!r}; give a number.")
        if self.learners * self.steps < 2:
            raise InvalidSetting("A round of one decision teaches nothing; give more learners or steps.")
        check_network(self.hidden, ("all",) if self.fields is None else self.fields)


def train(training: Training, settings: PPOSettings | None = None, out: Path | None = None) -> Learned:
    """Train a policy; returns the best one, which is also in the file `out`.

    Raises:
        PlasticEnvError: stable-baselines3 is missing, or the file can't be written.
    """
    need("stable_baselines3")
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import Logger

    from plastic_env.agents.learned.sb3 import PlasticVecEnv

    settings = settings or PPOSettings()
    names = settings.fields or _fields(len(training.learner.slots))
    keeper = Keeper(training, "ppo", names, settings, out)
    population = training.env(settings.learners, names)
    env = PlasticVecEnv(
        population,
        training.menu,
        names,
        seeds=training.passes(np.random.default_rng(training.seed)),
        twins=twins(training, training.seeds),
        scale=population.lifetime.updates / settings.unit,
    )
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=settings.lr,
        n_steps=settings.steps,
        batch_size=min(settings.batch, settings.steps * settings.learners),
        n_epochs=settings.epochs,
        gamma=settings.discount,
        gae_lambda=settings.trace,
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        policy_kwargs={"net_arch": list(settings.hidden), "activation_fn": torch.nn.Tanh},
        seed=training.seed,
        device="cpu",
    )
    model.set_logger(Logger(None, []))  # its own leaves an empty folder in the system's temporary one in every round
    scores: Any = model.policy.action_net
    with torch.no_grad():
        scores.bias[0] += settings.patience
    done = 0
    while not keeper.time_is_up and done != training.rounds:
        model.learn(settings.steps * settings.learners, reset_num_timesteps=done == 0)  # one round
        done += 1
        if done % 5 == 0:
            gained, speed = model.rollout_buffer.rewards.mean(), model.num_timesteps / keeper.seconds
            say(f"round {done}: mean reward {gained:+.3f}, {speed:.0f} decisions per second")
        if done % settings.judged == 0:
            keeper.offer(network_of(model, training.menu.sizes), done)
    if done % settings.judged or keeper.best is None:
        keeper.offer(network_of(model, training.menu.sizes), done)
    assert keeper.best is not None
    return keeper.best


def network_of(model: Any, sizes: tuple[int, ...]) -> PolicyNetwork:
    """The policy of a stable-baselines3 PPO model over flat observations, without the library."""
    linear = [part for part in model.policy.mlp_extractor.policy_net if hasattr(part, "weight")]
    weights = [(part.weight, part.bias) for part in (*linear, model.policy.action_net)]
    return PolicyNetwork(tuple((w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in weights), sizes)


def _fields(layers: int) -> tuple[str, ...]:
    return tuple(name for name in Features.all(layers).names if not name.endswith("effective_rank"))


if __name__ == "__main__":
    sys.exit(command(train, PPOSettings, "Train a policy with PPO."))
