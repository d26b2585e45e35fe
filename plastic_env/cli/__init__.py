"""The command line: argument parsing only, a file per command."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from plastic_env.cli import compare, names, report, reproduce, run, ticket, watch
from plastic_env.errors import PlasticEnvError, hint

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


class _Parser(argparse.ArgumentParser):
    """Says which of its words a misspelt one is nearest to."""

    def parse_known_args(self, *given, **kept):  # type: ignore[no-untyped-def]
        """Refuse options that it doesn't know here, where its own are known, rather than in the parser above."""
        found, unknown = super().parse_known_args(*given, **kept)
        if unknown:
            known = re.findall(r"--[a-z-]+", self.format_help())
            self.error(f"{' '.join(unknown)} is not understood", hint(unknown[0].partition("=")[0], known))
        return found, unknown

    def error(self, message: str, near: str = "") -> NoReturn:
        """Exit with 2, and with a hint at what may have been meant."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        near = hint(choice[1], re.findall(r"[\w-]+", choice[2])) if choice else near
        self.exit(2, f"{self.format_usage()}{self.prog}: error: {message}.{near} See {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="plastic-env",
        description="Edit the structure of networks while they learn, and see what it does to their plasticity.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
