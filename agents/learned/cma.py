"""CMA-ES (Hansen & Ostermeier 2001; separable: Ros & Hansen 2008) over a small policy, with the library `cmaes`.

    python -m plastic_env.agents.learned.cma --scenario MixedShiftsDigits-small-v0 --minutes 30 --out policy.pt
    plastic-env compare --scenario MixedShiftsDigits-small-v0 --set split=test --methods cma:policy.pt recycle dense

A generation is one vectorised lifetime: each candidate edits one learner per instance, and all candidates meet the same
instances with the same learner seeds (common random numbers), so that they differ in nothing but what they do. Every
few generations, the distribution's mean lives on the validation seeds; the file holds the best one so far, also after
Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from plastic_env.agents.learned.command import command
from plastic_env.agents.learned.policy import HEADS, Learned, PolicyNetwork
from plastic_env.agents.learned.training import Keeper, Training, check_network, following, live, need
from plastic_env.env.features import Features
from plastic_env.env.menus import Choices
from plastic_env.errors import InvalidSetting, check_positive, check_whole, is_finite, look_up


@dataclass(frozen=True)
class CMASettings:
    """How CMA-ES learns.

    candidates: per generation. lives: of each candidate in a generation, on as many instances.
    sigma: standard deviation of the first generation's parameters, around those of a policy that waits.
    patience: how firmly that one waits: the log-odds by which the menu's first item and its longest budget are
        preferred. Without it, half of the first generation decides at every opportunity: slow, and harmful.
    fields: what the policy sees (see `Features`): few, since each adds parameters.
    hidden: widths of hidden layers; none makes a linear policy.
    head: a name in `HEADS`. An ordinal one has far fewer parameters, and needs a menu that is in order.
    separable: whether only variances are learned, no covariances: for more than about 100 parameters.
    judged: generations between two judgements on the validation seeds.

    Raises:
        InvalidSetting, UnknownName: numbers that make no sense, no such head.
    """

    candidates: int = 16
    lives: int = 2
    sigma: float = 1.0
    patience: float = 1.5
    fields: tuple[str, ...] = ("at_shift", "accuracy", "accuracy_change", "since_edit", "mean.dormant")
    hidden: tuple[int, ...] = ()
    head: str = "ordinal"
    separable: bool = False
    judged: int = 5

    def __post_init__(self) -> None:
        check_whole("candidates", self.candidates, 4)  # with fewer, cmaes divides by 0
        check_whole("lives", self.lives)
        check_whole("judged", self.judged)
        check_positive("sigma", self.sigma)
        if not is_finite(self.patience):
            raise InvalidSetting(f"patience is {self.patience!r}; give a number.")
        check_network(self.hidden, self.fields)
        look_up(HEADS, self.head, "head of a policy")


def train(training: Training, settings: CMASettings | None = None, out: Path | None = None) -> Learned:
    """Train a policy; returns the best one, which is also in the file `out`.

    Raises:
        PlasticEnvError: cmaes is missing, or the file can't be written.
    """
    need("cmaes")
    from cmaes import CMA, SepCMA

    settings = settings or CMASettings()
    keeper = Keeper(training, "cma", settings.fields, settings, out)
    env = training.env(settings.candidates * settings.lives, settings.fields)
    choices, features = Choices(training.menu, env.episode), Features(settings.fields, len(env.episode.capacity))
    widths = PolicyNetwork.widths(len(settings.fields), settings.hidden, training.menu.sizes, settings.head)
    start = _patient(widths, training.menu.sizes, settings)
    search = (SepCMA if settings.separable else CMA)(
        start, settings.sigma, seed=training.seed, population_size=settings.candidates
    )
    instances = training.passes(np.random.default_rng(training.seed))

    def network(parameters: np.ndarray) -> PolicyNetwork:
        return PolicyNetwork(_layers(parameters, widths), training.menu.sizes, settings.head)

    done = 0
    while not keeper.time_is_up and done != training.rounds:
        candidates = [search.ask() for _ in range(settings.candidates)]
        seeds = np.repeat(list(islice(instances, settings.lives)), settings.candidates).tolist()
        returns, _ = live(env, seeds, following([network(found) for found in candidates], choices, features))
        scores = returns.reshape(settings.lives, settings.candidates).mean(0)
        search.tell([(found, -score) for found, score in zip(candidates, scores.tolist(), strict=True)])
        done += 1
        if done % settings.judged == 0:
            keeper.offer(network(search.mean), done)
    if done % settings.judged or keeper.best is None:
        keeper.offer(network(search.mean), done)
    assert keeper.best is not None
    return keeper.best


def _patient(widths: Sequence[int], sizes: tuple[int, ...], settings: CMASettings) -> np.ndarray:
    """The parameters of a policy that waits: all 0 but for the last biases."""
    start = np.zeros(sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths)))
    biases = start[-widths[-1] :]
    if settings.head == "ordinal":
        biases[:] = (-settings.patience, settings.patience)[: len(sizes)]
    else:
        biases[0] = settings.patience
        biases[-1] += settings.patience if len(sizes) > 1 else 0.0
    return start


def _layers(parameters: np.ndarray, widths: Sequence[int]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """(weight, bias) of each layer, cut from one vector."""
    layers, at = [], 0
    for inputs, outputs in pairwise(widths):
        weight = parameters[at : at + inputs * outputs].reshape(outputs, inputs)
        at += inputs * outputs
        layers.append((weight.astype(np.float32), parameters[at : at + outputs].astype(np.float32)))
        at += outputs
    return tuple(layers)


if __name__ == "__main__":
    sys.exit(command(train, CMASettings, "Train a small policy with CMA-ES."))
