"""`plastic-env run`, `resume` and `status`: a study that is described once, taken up again, and looked at."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from plastic_env.cli.options import KEPT, Commands, add_running, add_study, running_of, study_of

if TYPE_CHECKING:
    from plastic_env.study.sweep import Study


def add(commands: Commands) -> None:
    """Add the three commands."""
    run = commands.add_parser(
        "run",
        help="run a study",
        description="Run all that isn't finished of a study: scenarios x methods x values x seeds.",
    )
    run.add_argument("described", nargs="?", metavar="STUDY", help="as --study; other options change parts of it")
    run.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/<name of the study>)")
    add_study(run)
    add_running(run)
    run.set_defaults(run=_run, kept=KEPT)
    resume = commands.add_parser(
        "resume", help="go on with a study", description="Run what is missing in a folder of results."
    )
    resume.add_argument("folder", type=Path, metavar="DIR", help="folder of results, which knows its study")
    add_running(resume)
    resume.set_defaults(run=_resume, kept=KEPT)
    status = commands.add_parser(
        "status",
        help="how far a study is",
        description="Count what is done, failed and missing; exit code 1 if any failed.",
    )
    status.add_argument("described", metavar="STUDY|DIR", help="folder of results, or a study")
    status.add_argument("--out", type=Path, metavar="DIR", help="its results folder, as for run")
    status.set_defaults(run=_status, kept="Nothing has changed.")


def _run(asked: argparse.Namespace) -> int:
    return _carry_out(study_of(asked, asked.described), _folder(asked.described or asked.study, asked.out), asked)


def _resume(asked: argparse.Namespace) -> int:
    from plastic_env.study.description import kept_study

    return _carry_out(kept_study(asked.folder)[0], asked.folder, asked)


def _carry_out(study: Study, folder: Path, asked: argparse.Namespace) -> int:
    from plastic_env.study.description import check_versions, keep_study, replaced
    from plastic_env.study.lock import alone_in
    from plastic_env.study.notes import notes
    from plastic_env.study.runner import run_study
    from plastic_env.study.status import status

    study.cells()  # mistakes come before anything is written
    if not asked.overwrite:
        check_versions(folder)
    with ExitStack() as closing:
        running = running_of(asked, folder, closing)
        closing.enter_context(alone_in(folder))
        remark = replaced(study, folder)
        if remark:
            print(f"plastic-env: {remark}", file=sys.stderr)
        keep_study(study, folder)
        finished = run_study(study, folder, running)
    found = status(study, folder)
    print(found.text)
    for note in notes(finished.study):
        print(f"note: {note}")
    print(f"results: {folder}")
    if found.failed:
        print(f"plastic-env: {found.failed} runs failed: see above, and {folder}/*.error.json.", file=sys.stderr)
    return 1 if found.failed else 0


def _status(asked: argparse.Namespace) -> int:
    from plastic_env.study.description import TO_DO, load_study, other_versions
    from plastic_env.study.status import status

    folder = _folder(asked.described, asked.out)
    found = status(load_study(asked.described), folder)
    print(found.text)
    warning = other_versions(folder)
    if warning:
        print(f"plastic-env: {warning} {TO_DO}", file=sys.stderr)
    return 1 if found.failed else 0


def _folder(described: str | None, out: Path | None) -> Path:
    """Where a study's results are, unless it is said."""
    from plastic_env.study.description import name_of

    if out is not None:
        return out
    if described and Path(described).is_dir():
        return Path(described)
    return Path("results") / (name_of(described) if described else "study")
