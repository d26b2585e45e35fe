"""The command line: argument parsing only, a file per command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from plastic_env.cli import compare, names, report, reproduce, run, ticket, watch
from plastic_env.errors import PlasticEnvError

COMMANDS = (compare, run, names, watch, ticket, report, reproduce)  # each adds its own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `plastic-env`; returns the exit code: 0, 1 if a run failed, 2 for a mistake, 130 after Ctrl-C."""
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
    for command in COMMANDS:
        command.add(commands)
    return parser
