"""Policies on disk, and the agent that follows one. Needs no RL library.

A file is what `torch.save` makes of weights and of a header in JSON; it is read with `weights_only=True`, so that no
code in it is ever run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plastic_env.agents import MAINTENANCE, OPTIMIZERS, Method
from plastic_env.env.encoding import Action, EpisodeSpec, Observation
from plastic_env.env.features import Features
from plastic_env.env.menus import Choices, Menu, MenuItem
from plastic_env.errors import AgentError, look_up
from plastic_env.files import write_atomically
from plastic_env.learner.settings import Conv, Dense, LearnerSettings
from plastic_env.plain import describe

FORMAT = "plastic_env policy 1"
PACKAGE = "plastic_env.agents.learned"  # whose modules train
KINDS = {
    "ppo": "proximal policy optimisation",
    "cma": "CMA-ES over a small policy",
    "fixed": "the best item of the menu, at every shift",
}
HEADS = {
    "logits": "a score per item (and per budget): the highest is chosen",
    "ordinal": "one number for the item (and one for the budget), from the first of the menu to its last",
}
_LEARNERS: dict[str, Any] = {made.__name__: made for made in (LearnerSettings, Dense, Conv, *OPTIMIZERS.values())}
_LEARNERS |= MAINTENANCE


@dataclass(frozen=True)
class PolicyNetwork:
    """From features to choices: linear layers with tanh between them.

    layers: (weight [outputs, inputs], bias [outputs]) from the features up, float32.
    sizes: how many items (and budgets) there are to choose from. head: a name in `HEADS`.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    sizes: tuple[int, ...]
    head: str = "logits"

    def outputs(self, features: np.ndarray) -> np.ndarray:
        """[..., outputs] of features [..., features]."""
        for at, (weight, bias) in enumerate(self.layers):
            features = (np.tanh(features) if at else features) @ weight.T + bias
        return features

    def choose(self, features: np.ndarray) -> np.ndarray:
        """The choices [..., 1 or 2] int64, given features [..., features]."""
        found = self.outputs(features)
        if self.head == "ordinal":
            share = 0.5 * (1 + np.tanh(found / 2))  # the logistic function, which doesn't overflow
            return np.minimum(share * self.sizes, np.array(self.sizes) - 1).astype(np.int64)
        parts = np.split(found, np.cumsum(self.sizes)[:-1], -1)
        return np.stack([part.argmax(-1) for part in parts], -1)

    @staticmethod
    def widths(features: int, hidden: tuple[int, ...], sizes: tuple[int, ...], head: str) -> tuple[int, ...]:
        """Inputs and outputs of all layers of such a network.

        Raises:
            UnknownName: no such head.
        """
        look_up(HEADS, head, "head of a policy")
        return (features, *hidden, len(sizes) if head == "ordinal" else sum(sizes))


@dataclass(frozen=True)
class Learned:
    """A policy, and what is to be known of it.

    method: a name in `KINDS`. network, menu, names (of the features): what it does.
    episode, learner: whom it was trained to edit.
    trained_on: scenario, its settings, split and seeds. record: settings and seed of the training, and what came of it.
    """

    method: str
    network: PolicyNetwork
    menu: Menu
    names: tuple[str, ...]
    episode: EpisodeSpec
    learner: LearnerSettings
    trained_on: Mapping[str, Any]
    record: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write it to a file, whole or not at all; equal policies make equal files.

        Raises:
            FileError: the file can't be written.
        """
        header = {
            "format": FORMAT,
            "method": self.method,
            "sizes": self.network.sizes,
            "head": self.network.head,
            "menu": asdict(self.menu),
            "names": self.names,
            "episode": asdict(self.episode),
            "learner": describe(self.learner),
            "trained_on": self.trained_on,
            "record": self.record,
        }
        tensors = {
            f"{at}.{name}": torch.from_numpy(value)
            for at, layer in enumerate(self.network.layers)
            for name, value in zip(("weight", "bias"), layer, strict=True)
        }
        buffer = io.BytesIO()
        torch.save({"header": json.dumps(header, sort_keys=True), **tensors}, buffer)
        write_atomically(path, lambda unfinished: unfinished.write_bytes(buffer.getvalue()))

    @staticmethod
    def load(path: Path) -> Learned:
        """Read a file that `save` has written.

        Raises:
            AgentError: there is no such file, or it holds no policy.
        """
        try:
            return _read(path.read_bytes())
        except OSError as error:
            raise AgentError(
                f"The policy {path} can't be read: {error}. Give the file of one, or train it: python -m {PACKAGE}.ppo."
            ) from error
        except Exception as error:  # whatever a damaged or foreign file leads to
            lacks = "it lacks " if isinstance(error, KeyError) else ""
            why = lacks + str(error).partition(". ")[0]  # torch goes on at length
            raise AgentError(
                f"{path} holds no policy of plastic_env, or is damaged: {why}. Use another copy, or train one anew."
            ) from error


@dataclass
class LearnedAgent:
    """Follows a policy.

    method: how it was learned. trained_on: on what; both are kept with the results of every run.
    """

    learned: InitVar[Learned]
    method: str = field(init=False)
    trained_on: Mapping[str, Any] = field(init=False)

    def __post_init__(self, learned: Learned) -> None:
        self.method, self.trained_on = learned.method, learned.trained_on
        self._network, self._menu, self._names = learned.network, learned.menu, learned.names
        self._trained_for = learned.episode

    def reset(self, episode: EpisodeSpec, seed: int) -> None:
        """Get ready.

        Raises:
            AgentError: it is a policy for other spaces.
        """
        for name in ("capacity", "live", "max_budget", "boundaries"):
            theirs, here = getattr(self._trained_for, name), getattr(episode, name)
            if theirs != here:
                raise AgentError(
                    f"This is a policy for other spaces: it was trained with {name} {theirs}, not {here}. Use it where "
                    "these agree, or train one for here."
                )
        self._choices, self._features = Choices(self._menu, episode), Features(self._names, len(episode.capacity))

    def act(self, observation: Observation, info: dict[str, Any]) -> Action:
        """What the policy chooses."""
        choice = self._network.choose(self._features.of(observation))
        return self._choices.action(choice, info["live"])


def method_of(name: str) -> tuple[str, Method, str] | None:
    """The method that "ppo:PATH", "cma:PATH" or "fixed:PATH" names: its label, the method, and a digest of the file's
    content; None if `name` is of another form.

    Raises:
        AgentError: the file holds no such policy.
    """
    kind, colon, given = name.partition(":")
    if not colon or kind not in KINDS:
        return None
    if not given:
        raise AgentError(f"{name!r} names no file; give {kind}:FILE, or train one: python -m {PACKAGE}.{kind}.")
    path = Path(given)
    learned = Learned.load(path)
    if learned.method != kind:
        raise AgentError(f"{path} was trained with {learned.method}; name it {learned.method}:{path}.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    method = Method(f"{KINDS[kind]}, {path}", partial(LearnedAgent, learned), learned.learner)
    return f"{kind}_{path.stem}", method, digest


def _read(content: bytes) -> Learned:
    found = torch.load(io.BytesIO(content), weights_only=True)
    if not isinstance(found, dict) or not isinstance(found.get("header"), str):
        raise ValueError("it has no header of plastic_env")
    header = json.loads(found.pop("header"))
    if not all(isinstance(value, torch.Tensor) for value in found.values()) or len(found) < 2:
        raise ValueError("it holds no weights")
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}, not {FORMAT!r}")
    layers = tuple((found[f"{at}.weight"].numpy(), found[f"{at}.bias"].numpy()) for at in range(len(found) // 2))
    menu = Menu(tuple(MenuItem(**item) for item in header["menu"]["items"]), tuple(header["menu"]["budgets"]))
    network = PolicyNetwork(layers, tuple(header["sizes"]), header["head"])
    names = tuple(header["names"])
    if network.sizes != menu.sizes or layers[0][0].shape[1] != len(names):
        raise ValueError("its network fits neither its menu nor its features")
    episode: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in header["episode"].items()
    }
    return Learned(
        header["method"],
        network,
        menu,
        names,
        EpisodeSpec(**episode),
        _as_learner(header["learner"]),
        header["trained_on"],
        header["record"],
    )


def _as_learner(plain: Any) -> Any:
    """What `describe` was given."""
    if isinstance(plain, dict):
        made = _LEARNERS[plain["type"]]
        return made(**{name: _as_learner(value) for name, value in plain.items() if name != "type"})
    return tuple(map(_as_learner, plain)) if isinstance(plain, list) else plain
