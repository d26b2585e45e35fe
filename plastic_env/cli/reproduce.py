"""`plastic-env reproduce`: the claims of the paper, each run, judged and shown."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

from plastic_env.cli.options import KEPT, Commands, add_running, running_of


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "reproduce",
        help="run the paper's claims, and judge them",
        description="Run what the claims of arXiv 2605.15435 need, print each with the paper's figures, ours and a "
        "verdict, and write a page with pictures. Runs that are finished already are read, not repeated.",
    )
    parser.add_argument(
        "claims",
        nargs="*",
        metavar="CLAIM",
        help="C1 to C9, or a question that the paper leaves open: rewind, compute, init, state, time (default: all)",
    )
    parser.add_argument("--size", default="small", metavar="S", help="small, medium or paper (default: %(default)s)")
    parser.add_argument(
        "--images", metavar="DATA", help="data for C2 to C7 and C9 instead of the size's own, such as npz:PATH"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what it would cost, from a few updates of each network, and stop"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the runs (default: results/claims/<size>)")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="the page, pictures beside it (default: DIR/claims.md)"
    )
    add_running(parser)
    parser.set_defaults(run=_reproduce, kept=KEPT)


def _reproduce(asked: argparse.Namespace) -> int:
    from plastic_env.errors import look_up
    from plastic_env.study.backends import cores
    from plastic_env.study.claims import bill, page
    from plastic_env.study.claims.evidence import Evidence
    from plastic_env.study.claims.protocol import SIZES

    protocol = look_up(SIZES, asked.size, "size")
    if asked.images:
        protocol = protocol.on(asked.images)
    names = page.chosen(asked.claims)
    out = asked.out or Path("results/claims") / asked.size
    with ExitStack() as closing:
        running = running_of(asked, out, closing)
        if asked.dry_run:
            print(bill.as_table(bill.bills(protocol, names), running.threads or cores()))
            return 0
        evidence = Evidence(out, running)
        found: dict[str, page.Judged] = {}
        for name in names:
            found |= page.ask([name], protocol, evidence)
            print(f"{name}: {found[name].claim.says} {found[name].verdict}", file=sys.stderr, flush=True)
    target = asked.page or out / "claims.md"
    command = ["plastic-env", "reproduce", *(asked.claims or ["all"]), "--size", asked.size]
    command += ["--images", _without_folder(asked.images)] if asked.images else []
    print(page.write_page(target, found, protocol, shlex.join(command), evidence))
    print(f"page: {target}\nruns: {out}/*.parquet", file=sys.stderr)
    return 1 if evidence.failures or any(one.answer is None for one in found.values()) else 0


def _without_folder(data: str) -> str:
    """A data set as it is named on a page that others read: of KIND:PATH, where the path leads is this machine's."""
    kind, colon, path = data.rpartition(":")
    return f"{kind}{colon}{Path(path).name}"
