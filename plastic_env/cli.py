"""The command line: argument parsing only."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from plastic_env.errors import InvalidSetting, PlasticEnvError, named_value

_COMMAS = r",(?![^(]*\))"  # but for those within brackets, which are part of a value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `plastic-env`; returns the exit code: 0, 1 if an agent failed, 2 for a mistake, 130 after Ctrl-C."""
    asked = _parser().parse_args(arguments)
    try:
        code: int = asked.run(asked)
        return code
    except PlasticEnvError as error:
        print(f"plastic-env: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nplastic-env: interrupted. {asked.kept}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plastic-env",
        description="Edit the structure of networks while they learn, and see what it does to their plasticity.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare",
        help="compare methods on a stream of tasks",
        description="Run methods on one scenario over several seeds; print a table, draw plasticity curves, keep "
        "all raw numbers. Runs that are finished already are read, not repeated.",
    )
    compare.add_argument(
        "--scenario", default="plastic_env/PermutedDigits-small-v0", metavar="ID", help="default: %(default)s"
    )
    compare.add_argument(
        "--methods",
        nargs="+",
        metavar="M",
        help="names, path/to/file.py:Class or package.module:Class for your own agent, ppo:FILE, cma:FILE or "
        "fixed:FILE for a learned policy, each with options if wanted, as in grow+events=5+lr=0.01 "
        "(default: the nine of the README)",
    )
    compare.add_argument(
        "--seeds", type=int, default=8, metavar="N", help="number of seeds, from 0 (default: %(default)s)"
    )
    compare.add_argument("--tasks", type=int, metavar="N", help="number of tasks (default: the scenario's)")
    compare.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="other settings of the scenario, such as data=npz:PATH, updates=500 or strength=0.1",
    )
    compare.add_argument(
        "--tests",
        choices=("none", "task", "past"),
        default="none",
        help="at each task's end, measure accuracy on its own test samples, or on those of all tasks so far "
        "(default: %(default)s)",
    )
    compare.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/<scenario>)")
    compare.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all)")
    compare.add_argument("--overwrite", action="store_true", help="run everything again")
    compare.add_argument("--json", action="store_true", help="print the table as JSON, and nothing else, on stdout")
    compare.set_defaults(run=_compare, kept="Finished runs are kept: the same command goes on from there.")
    _add_watch(commands)
    _add_ticket(commands)
    return parser


def _add_watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    watch = commands.add_parser(
        "watch",
        help="write a film of one learner's life",
        description="Live one life of a method, just as it is lived unseen, and write a film of it: units that are "
        "born, age and die, and the accuracy.",
    )
    watch.add_argument("scenario", metavar="SCENARIO", help="such as plastic_env/PermutedDigits-small-v0")
    watch.add_argument("--method", required=True, metavar="M", help="as for compare")
    watch.add_argument("--out", type=Path, required=True, metavar="FILE", help="life.gif or life.mp4")
    watch.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    watch.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="other settings of the scenario"
    )
    length = watch.add_mutually_exclusive_group()
    length.add_argument("--frames", type=int, default=200, metavar="N", help="about how many (default: %(default)s)")
    length.add_argument("--every", type=int, metavar="K", help="a frame every so many updates instead")
    watch.add_argument("--fps", type=float, default=12, metavar="F", help="frames per second (default: %(default)s)")
    watch.add_argument(
        "--colour", default="age", metavar="C", help="of units: age, or parity of their gradients (default: age)"
    )
    watch.set_defaults(run=_watch, kept="No film has been written.")


def _add_ticket(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ticket = commands.add_parser(
        "ticket",
        help="retrain the networks that methods end with, from scratch",
        description="Run methods, then train the mask that each run ends with anew on the same stream, without an "
        "edit; compare test accuracies. Runs that are finished already are read, not repeated.",
    )
    ticket.add_argument(
        "--scenario", default="plastic_env/IidDigits-small-v0", metavar="ID", help="default: %(default)s"
    )
    ticket.add_argument("--methods", nargs="+", metavar="M", help="as for compare (default: dense grow prune)")
    ticket.add_argument("--seeds", type=int, default=8, metavar="N", help="from 0 (default: %(default)s)")
    ticket.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="other settings of the scenario"
    )
    ticket.add_argument(
        "--tests",
        choices=("task", "past"),
        default="past",
        help="at each task's end, test on its own samples, or on those of all tasks so far (default: %(default)s)",
    )
    ticket.add_argument(
        "--weights",
        default="fresh",
        metavar="W",
        help="that tickets begin with: fresh, another draw, or rewound, the run's own first (default: %(default)s)",
    )
    ticket.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/<scenario>)")
    ticket.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all)")
    ticket.add_argument("--overwrite", action="store_true", help="run everything again")
    ticket.add_argument("--json", action="store_true", help="print all scores as JSON, and nothing else, on stdout")
    ticket.set_defaults(run=_ticket, kept="Finished runs are kept: the same command goes on from there.")


def _compare(asked: argparse.Namespace) -> int:
    from plastic_env.agents import DEMO
    from plastic_env.study.compare import compare
    from plastic_env.study.sweep import Study

    for name in ("seeds", "threads"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise InvalidSetting(f"--{name} is {value}; give a whole number of at least 1.")
    tasks = () if asked.tasks is None else (("tasks", asked.tasks),)
    methods = [name for part in asked.methods or DEMO for name in re.split(_COMMAS, part) if name]
    study = Study(
        scenario=asked.scenario,
        methods=tuple(dict.fromkeys(methods)),
        seeds=tuple(range(asked.seeds)),
        changes=(*tasks, *map(named_value, asked.set)),
        tests=asked.tests,
    )
    out = asked.out or Path("results") / asked.scenario.split("/")[-1].replace(":", "-")
    comparison = compare(study, out, threads=asked.threads or _cores(), overwrite=asked.overwrite)
    print(json.dumps(comparison.json, indent=2) if asked.json else f"\n{comparison.table}\n")
    where = sys.stderr if asked.json else sys.stdout
    print(f"curves: {comparison.picture}\nruns:   {out}/*.parquet", file=where)
    for note in study.notes():
        print(f"note:   {note}", file=where)
    for complaint in comparison.complaints:
        print(f"plastic-env: {complaint}", file=sys.stderr)
    return 1 if comparison.failures else 0


def _watch(asked: argparse.Namespace) -> int:
    from plastic_env.study.film import FilmSettings, film
    from plastic_env.study.sweep import Study

    if asked.seed < 0:
        raise InvalidSetting(f"--seed is {asked.seed}; give a whole number of at least 0.")
    settings = FilmSettings(asked.frames, asked.every, asked.fps, asked.colour)
    study = Study(asked.scenario, (asked.method,), (asked.seed,), tuple(map(named_value, asked.set)))
    run = study.groups()[0][0]
    made = film(run, asked.out, settings)
    print(f"{asked.out}: {made.frames} frames; mean online accuracy {made.taoa:.3f}")
    for note in study.notes():
        print(f"note:   {note}")
    return 0


def _ticket(asked: argparse.Namespace) -> int:
    from plastic_env.study.sweep import Study
    from plastic_env.study.ticket import tickets
    from plastic_env.study.ticket_report import as_json, as_table

    for name in ("seeds", "threads"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise InvalidSetting(f"--{name} is {value}; give a whole number of at least 1.")
    written = asked.methods or ("dense", "grow", "prune")
    methods = dict.fromkeys(name for part in written for name in re.split(_COMMAS, part) if name)
    changes = tuple(map(named_value, asked.set))
    study = Study(asked.scenario, tuple(methods), tuple(range(asked.seeds)), changes, asked.tests)
    out = asked.out or Path("results") / asked.scenario.split("/")[-1].replace(":", "-")
    threads = asked.threads or _cores()
    found = tickets(study, out, weights=asked.weights, threads=threads, overwrite=asked.overwrite)
    told = as_json(asked.scenario, asked.weights, found.methods)
    print(json.dumps(told, indent=2) if asked.json else f"\n{as_table(found.methods)}\n")
    where = sys.stderr if asked.json else sys.stdout
    print(f"picture: {found.picture}\nruns:    {out}/*.parquet", file=where)
    for note in study.notes():
        print(f"note:    {note}", file=where)
    for complaint in found.complaints:
        print(f"plastic-env: {complaint}", file=sys.stderr)
    return 1 if found.failures else 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
