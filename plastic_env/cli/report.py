"""`plastic-env report`: one page about a folder of results."""

from __future__ import annotations

import argparse
from pathlib import Path

from plastic_env.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="write a page about a folder of results",
        description="Write one HTML page about the results in a folder: numbers, tests, equal budgets, pictures, "
        "settings, what failed and what is missing. It needs no other file and no network.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where results are, such as results/<scenario>")
    parser.add_argument("--question", default="", metavar="TEXT", help="what the study was for: the page's title")
    parser.add_argument(
        "--reference", metavar="M", help="the method that others are compared with (default: dense, or the first)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in DIR")
    parser.set_defaults(run=_report, kept="No report has been written.")


def _report(asked: argparse.Namespace) -> int:
    from plastic_env.study.report import ReportSettings, write_report

    print(f"report: {write_report(asked.folder, asked.out, ReportSettings(asked.question, asked.reference))}")
    return 0
