"""`plastic-env ticket`: retrain from scratch the networks that methods end with."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from plastic_env.cli.options import KEPT, Commands, add_running, add_study, folder_of, running_of, study_of

METHODS = ["dense", "grow", "prune"]
SCENARIO = ["plastic_env/IidDigits-small-v0"]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ticket",
        help="retrain the networks that methods end with, from scratch",
        description="Run methods (default: dense, grow, prune on IidDigits-small-v0), then train the mask that each "
        "run ends with anew on the same stream, without an edit; compare test accuracies (default: --tests past). Runs "
        "that are finished already are read, not repeated.",
    )
    add_study(parser)
    add_running(parser)
    parser.add_argument(
        "--weights",
        default="fresh",
        metavar="W",
        help="that tickets begin with: fresh, another draw, or rewound, the run's own first (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/<scenario>)")
    parser.add_argument("--json", action="store_true", help="print all scores as JSON, and nothing else, on stdout")
    parser.set_defaults(run=_ticket, kept=KEPT)


def _ticket(asked: argparse.Namespace) -> int:
    from plastic_env.study.notes import notes
    from plastic_env.study.report.tickets import as_json, as_table
    from plastic_env.study.ticket import tickets

    if not asked.study:
        asked.methods, asked.scenario = asked.methods or METHODS, asked.scenario or SCENARIO
    study = study_of(asked)
    if "tests" not in dict(study.settings) and "tests" not in dict(study.axes):
        study = replace(study, settings={**dict(study.settings), "tests": "past"})
    out = folder_of(study, asked)
    with ExitStack() as closing:
        found = tickets(study, out, weights=asked.weights, running=running_of(asked, out, closing))
    told = as_json(study.scenarios[0], asked.weights, found.methods)
    print(json.dumps(told, indent=2) if asked.json else f"\n{as_table(found.methods)}\n")
    where = sys.stderr if asked.json else sys.stdout
    print(f"picture: {found.picture}\nruns:    {out}/*.parquet", file=where)
    for note in notes(found.cycles.study):
        print(f"note:    {note}", file=where)
    for complaint in found.complaints:
        print(f"plastic-env: {complaint}", file=sys.stderr)
    return 1 if found.failures else 0
