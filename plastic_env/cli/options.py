"""What several commands ask: which study, and how to run it."""

from __future__ import annotations

import argparse
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plastic_env.errors import InvalidSetting
from plastic_env.plain import named_value

if TYPE_CHECKING:
    from plastic_env.study.runner import Running
    from plastic_env.study.sweep import Study

Commands = Any  # argparse's own type of subparsers is private
SCENARIO = "plastic_env/PermutedDigits-small-v0"
KEPT = "Finished runs are kept: the same command goes on from there."
_COMMAS = r",(?![^(\[]*[)\]])"  # but for those within brackets, which are part of a value


def add_study(parser: argparse.ArgumentParser) -> None:
    """Which study: described in a file, by these options, or in a file of which these options change parts."""
    group = parser.add_argument_group("study")
    group.add_argument(
        "--study", metavar="STUDY", help="file.toml, path/to/file.py:NAME, package.module:NAME (default NAME: STUDY)"
    )
    group.add_argument("--scenario", nargs="+", metavar="ID", help=f"default: {SCENARIO}")
    group.add_argument(
        "--methods",
        nargs="+",
        metavar="M",
        help="names, path/to/file.py:Class or package.module:Class for your own agent, ppo:FILE, cma:FILE or "
        "fixed:FILE for a learned policy, each with options if wanted, as in grow+events=5+lr=0.01 "
        "(default: the nine of the README)",
    )
    group.add_argument("--seeds", metavar="N", help="a number, from 0, or seeds as in 3,7,100-119 (default: 8)")
    group.add_argument("--tasks", type=int, metavar="N", help="number of tasks (default: the scenario's)")
    group.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="other settings of the scenario, such as data=npz:PATH, updates=500 or strength=0.1, of the episode, such "
        "as boundaries=hidden, or of all methods, such as lr=0.01",
    )
    group.add_argument(
        "--axis",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=V,V",
        help="such settings with several values each, of which every combination is run",
    )
    group.add_argument(
        "--tune",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=V,V",
        help="options of the methods, of which each method gets the value that is best on seeds of their own",
    )
    group.add_argument("--tune-seeds", metavar="N", help="seeds to tune on (default: 1000-1004)")
    group.add_argument(
        "--tests",
        choices=("none", "task", "past"),
        help="at each task's end, measure accuracy on its own test samples, or on those of all tasks so far "
        "(default: none)",
    )


def study_of(asked: argparse.Namespace, written: str | None = None) -> Study:
    """The study that the options describe. written: where it is described, if not in --study.

    Raises:
        InvalidSetting: the study is given twice. PlasticEnvError: they describe none.
    """
    from plastic_env.agents import DEMO
    from plastic_env.study.description import load_study
    from plastic_env.study.sweep import Study
    from plastic_env.study.values import spread

    if written and asked.study:
        raise InvalidSetting(f"The study is given twice: {written}, and --study {asked.study}; give one.")
    written = written or asked.study
    study = load_study(written) if written else Study(SCENARIO, DEMO, 8)
    changes: dict[str, Any] = {}
    if asked.scenario is not None:
        changes["scenarios"] = asked.scenario
    if asked.methods is not None:
        changes["methods"] = [name for part in asked.methods for name in re.split(_COMMAS, part) if name]
    for name in ("seeds", "tune_seeds"):
        if getattr(asked, name) is not None:
            changes[name] = spread(getattr(asked, name), f"--{name.replace('_', '-')}")
    settings = dict(map(named_value, asked.set))
    settings |= {name: getattr(asked, name) for name in ("tasks", "tests") if getattr(asked, name) is not None}
    changes["settings"] = {**dict(study.settings), **settings}
    changes["axes"] = {**dict(study.axes), **_axes(asked.axis, "--axis")}
    changes["tune"] = {**dict(study.tune), **_axes(asked.tune, "--tune")}
    return replace(study, **changes)


def folder_of(study: Study, asked: argparse.Namespace) -> Path:
    """Where the results of scenarios go, unless it is said."""
    return asked.out or Path("results") / "+".join(name.split("/")[-1].replace(":", "-") for name in study.scenarios)


def add_running(parser: argparse.ArgumentParser) -> None:
    """How to run it."""
    group = parser.add_argument_group("running")
    group.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all, of all machines)")
    group.add_argument(
        "--backend",
        metavar="B",
        help="here, processes, or ray for many machines (needs plastic_env[ray]) (default: processes, if there are "
        "cores)",
    )
    group.add_argument(
        "--address",
        metavar="A",
        help="of the Ray cluster: auto on a machine that belongs to one, or HOST:PORT (default: that of RAY_ADDRESS, "
        "else Ray is started on this machine alone)",
    )
    group.add_argument("--overwrite", action="store_true", help="run everything again")
    group.add_argument(
        "--checkpoint-minutes",
        type=float,
        metavar="M",
        help="how often runs that take long are kept, so that they can go on from there (default: 10)",
    )
    group.add_argument(
        "--track",
        nargs="+",
        default=[],
        metavar="T",
        help="where else to keep curves: tensorboard, wandb (needs plastic_env[track])",
    )


def running_of(asked: argparse.Namespace, folder: Path, closing: ExitStack) -> Running:
    """How to run it. closing: closes what must be closed in the end.

    Raises:
        InvalidSetting: an option that makes no sense. PlasticEnvError: a place to track that there isn't.
    """
    from plastic_env.study.runner import Running
    from plastic_env.study.tracking import open_sink

    running = Running(asked.threads, asked.backend, asked.address, overwrite=asked.overwrite)
    if asked.checkpoint_minutes is not None:
        running = replace(running, checkpoint_minutes=asked.checkpoint_minutes)
    sinks = [open_sink(name, folder) for name in asked.track]
    for sink in sinks:
        closing.callback(sink.close)
    return replace(running, sinks=tuple(sinks))


def _axes(given: list[str], option: str) -> dict[str, tuple[Any, ...]]:
    """NAME=VALUE,VALUE,... as values by name."""
    axes = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise InvalidSetting(f"{option} {text!r} is no axis; give NAME=VALUE,VALUE, such as lr=0.01,0.001.")
        axes[name] = tuple(named_value(f"{name}={value}")[1] for value in re.split(_COMMAS, values))
    return axes
