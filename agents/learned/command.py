"""The command line that all ways of training share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from plastic_env.agents import METHODS
from plastic_env.agents.learned.policy import Learned
from plastic_env.agents.learned.training import Training, say
from plastic_env.env.menus import Menu, recycling_menu
from plastic_env.errors import InvalidSetting, PlasticEnvError, look_up
from plastic_env.files import make_folder
from plastic_env.plain import named_value

MINUTES = 30.0
TWIN = 0.125  # of units, recycled by the twin unless somebody asks for another


def command(train: Callable[..., Learned], settings: type[Any], description: str, *, twins: bool = True) -> int:
    """Parse the command line and train; returns the exit code: 0, 2 for a mistake, 130 after Ctrl-C.

    settings: the dataclass of the method's own settings, any of which may be given as NAME=VALUE. twins: whether the
    method makes use of a twin.
    """
    asked = _parser(settings, description, twins).parse_args()
    torch.set_num_threads(1)
    try:
        make_folder(asked.out.parent)  # rather than complain after the training
        train(_training(asked), _own(settings, asked.settings), asked.out)
    except PlasticEnvError as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say(f"Interrupted. {asked.out} holds the best policy so far, if one has been judged.")
        return 130
    say(f"{asked.out} holds the policy.")
    return 0


def _parser(settings: type[Any], description: str, twins: bool) -> argparse.ArgumentParser:
    own = ", ".join(f"{part.name}={part.default!r}" for part in fields(settings))
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--scenario", default="MixedShiftsDigits-small-v0", metavar="ID", help="what to train on")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="its settings")
    parser.add_argument("--minutes", type=float, default=MINUTES, metavar="M", help="when to stop")
    parser.add_argument("--rounds", type=int, metavar="N", help="when to stop, if that is sooner")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="of the policy")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the only source of randomness")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores to use")
    parser.add_argument("--instances", type=int, default=32, metavar="N", help="seeds to train on")
    parser.add_argument("--validated", type=int, default=16, metavar="N", help="other seeds that tell what is best")
    parser.set_defaults(twin="")
    if twins:
        told = (
            f"what scores and, with PPO, rewards are compared with; '' for nothing; None: what recycles nearest {TWIN}"
        )
        parser.add_argument("--twin", metavar="ITEM", default=None, help=told)
    parser.add_argument("--price", type=float, default=0.01, metavar="P", help="of the stream's compute, in accuracy")
    parser.add_argument("--learner", default="dense", metavar="M", help="the method whose learner is edited")
    menu = parser.add_argument_group("menu")
    shares, budgets = [0.05, 0.125, 0.25, 0.5, 0.9], ["4", "16", "shift"]
    menu.add_argument("--fractions", nargs="+", type=float, default=shares, metavar="F", help="of units to recycle")
    menu.add_argument("--optimizer-states", nargs="+", default=["fresh"], metavar="S", help="of newborns")
    menu.add_argument("--budgets", nargs="+", default=budgets, metavar="B", help="updates; 'shift': until the next one")
    parser.add_argument(
        "--settings", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=f"of the method: {own}"
    )
    return parser


def _training(asked: argparse.Namespace) -> Training:
    try:
        budgets = tuple(None if text == "shift" else int(text) for text in asked.budgets)
    except ValueError as error:
        raise InvalidSetting(f"--budgets {' '.join(asked.budgets)}: give whole numbers, or 'shift'.") from error
    menu = recycling_menu(asked.fractions, asked.optimizer_states, budgets)
    return Training(
        asked.scenario,
        dict(map(named_value, asked.set)),
        learner=look_up(METHODS, asked.learner, "method for --learner").learner,
        menu=menu,
        instances=asked.instances,
        validated=asked.validated,
        twin=_nearest(menu, TWIN) if asked.twin is None else asked.twin,
        price=asked.price,
        minutes=asked.minutes,
        rounds=asked.rounds,
        seed=asked.seed,
        threads=asked.threads,
    )


def _nearest(menu: Menu, fraction: float) -> str:
    """The item that recycles a share nearest to that one; of equals the first."""
    return min((i for i in menu.items if "recycle" in i.wanted), key=lambda i: abs(i.wanted["recycle"] - fraction)).name


def _own(settings: type[Any], given: list[str]) -> Any:
    values = dict(named_value(text, "--settings") for text in given)
    for name in values:
        look_up({part.name: None for part in fields(settings)}, name, "setting of the method")
    return settings(**values)
