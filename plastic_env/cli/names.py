"""`plastic-env list` and `show`: what there is to choose from."""

from __future__ import annotations

import argparse
from pathlib import Path

from plastic_env.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the two commands."""
    listing = commands.add_parser("list", help="what there is", description="A line about everything with a name.")
    listing.add_argument("kinds", nargs="*", metavar="KIND", help="scenarios, methods, data, rules (default: all)")
    listing.set_defaults(run=_list, kept="")
    show = commands.add_parser("show", help="all about one name", description="What is known of one of them.")
    show.add_argument("name", metavar="ID", help="a scenario, a method, a rule, or a run: its id or its file")
    show.add_argument("--out", type=Path, metavar="DIR", help="results folder that holds the run")
    show.set_defaults(run=_show, kept="")


def _list(asked: argparse.Namespace) -> int:
    from plastic_env.study.catalogue import LISTS, listed

    for kind in asked.kinds or LISTS:
        found = listed(kind)
        width = max(len(name) for name, _ in found)
        print(*(f"{name.ljust(width)}  {line}".rstrip() for name, line in found), sep="\n")
    return 0


def _show(asked: argparse.Namespace) -> int:
    from plastic_env.study.catalogue import shown

    print(shown(asked.name, asked.out))
    return 0
