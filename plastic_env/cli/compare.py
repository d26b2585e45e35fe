"""`plastic-env compare`: run methods, print a table, draw their curves."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from plastic_env.cli.options import KEPT, Commands, add_running, add_study, folder_of, running_of, study_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="compare methods on a stream of tasks",
        description="Run methods on one scenario over several seeds; print a table, draw plasticity curves, keep "
        "all raw numbers. Runs that are finished already are read, not repeated.",
    )
    add_study(parser)
    add_running(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/<scenario>)")
    parser.add_argument("--json", action="store_true", help="print the table as JSON, and nothing else, on stdout")
    parser.set_defaults(run=_compare, kept=KEPT)


def _compare(asked: argparse.Namespace) -> int:
    from plastic_env.study.compare import compare_all
    from plastic_env.study.description import keep_study, other_versions, unreadable
    from plastic_env.study.lock import alone_in
    from plastic_env.study.notes import notes

    study = study_of(asked)
    out = folder_of(study, asked)
    study.cells()  # mistakes come before anything is written
    remark = unreadable(out)
    foreign = "" if remark else other_versions(out)
    if foreign:
        remark = f"{foreign} They stay where they are; what follows is run anew."
    if remark:
        print(f"plastic-env: {remark}", file=sys.stderr)
    with ExitStack() as closing:
        running = running_of(asked, out, closing)
        closing.enter_context(alone_in(out))
        keep_study(study, out)
        found = compare_all(study, out, running=running)
    if asked.json:
        tables = [comparison.json for comparison in found.each]
        print(json.dumps(tables[0] if len(tables) == 1 else tables, indent=2))
    else:
        for comparison in found.each:
            print(f"\n{comparison.scenario}" if len(found.each) > 1 else "", comparison.table, sep="\n", end="\n\n")
    where = sys.stderr if asked.json else sys.stdout
    for comparison in found.each:
        print(f"curves: {comparison.picture}", file=where)
    print(f"runs:   {out}/*.parquet", file=where)
    for note in notes(found.finished.study):
        print(f"note:   {note}", file=where)
    for complaint in found.complaints:
        print(f"plastic-env: {complaint}", file=sys.stderr)
    return 1 if found.complaints else 0
