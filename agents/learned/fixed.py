"""The best fixed policy: one item of the menu at every shift, whatever is seen. What learned policies have to beat.

    python -m plastic_env.agents.learned.fixed --scenario MixedShiftsDigits-small-v0 --out fixed.pt
    plastic-env compare --scenario MixedShiftsDigits-small-v0 --set split=test --methods fixed:fixed.pt ppo:policy.pt

Each item lives through all training instances; the file holds the one with the best mean so far, also after Ctrl-C.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plastic_env.agents.learned.command import command
from plastic_env.agents.learned.policy import Learned, PolicyNetwork
from plastic_env.agents.learned.training import Keeper, Training, following, live, say
from plastic_env.env.menus import Menu, MenuItem

FIELDS = ("at_shift",)


@dataclass(frozen=True)
class FixedSettings:
    """There is nothing to set."""


def train(training: Training, settings: FixedSettings | None = None, out: Path | None = None) -> Learned:
    """Find the best item; its scores are in the record. Ends when every item has been tried, whatever `minutes` say.

    Raises:
        FileError: the file can't be written.
    """
    menu = Menu((MenuItem("nothing"), *training.menu.items), training.menu.budgets[-1:])
    keeper = Keeper(replace(training, menu=menu, twin=""), "fixed", FIELDS, settings or FixedSettings(), None)
    env = training.env(training.instances, FIELDS)
    networks = {item.name: always(at, len(menu.items)) for at, item in enumerate(menu.items) if at}
    scores: dict[str, float] = {}
    for name, network in networks.items():
        returns, _ = live(env, training.seeds, following([network], keeper.choices, keeper.features))
        scores[name] = float(returns.mean())
        say(f"{name}: {scores[name]:.4f}")
        best = max(scores, key=scores.__getitem__)  # of equals the first
        learned = keeper.learned(networks[best], {"scores": dict(scores), "item": best})
        if out is not None:
            learned.save(out)
    return learned


def always(item: int, items: int) -> PolicyNetwork:
    """Chooses that item at shifts and the first one elsewhere."""
    weight, bias = np.zeros((items, 1), dtype=np.float32), np.zeros(items, dtype=np.float32)
    weight[item], bias[0] = 2, 1
    return PolicyNetwork(((weight, bias),), (items,))


if __name__ == "__main__":
    sys.exit(command(train, FixedSettings, "Find the best item of the menu to choose at every shift.", twins=False))
