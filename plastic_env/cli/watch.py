"""`plastic-env watch`: a film of one life."""

from __future__ import annotations

import argparse
from pathlib import Path

from plastic_env.cli.options import Commands
from plastic_env.errors import InvalidSetting
from plastic_env.plain import named_value


def add(commands: Commands) -> None:
    """Add the command."""
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
    length.add_argument("--frames", type=int, metavar="N", help="about how many (default: 200)")
    length.add_argument("--every", type=int, metavar="K", help="a frame every so many updates instead")
    watch.add_argument("--fps", type=float, metavar="F", help="frames per second (default: 12)")
    watch.add_argument("--colour", metavar="C", help="of units: age, or parity of their gradients (default: age)")
    watch.set_defaults(run=_watch, kept="No film has been written.")


def _watch(asked: argparse.Namespace) -> int:
    from plastic_env.study.film import FilmSettings, film
    from plastic_env.study.notes import notes
    from plastic_env.study.sweep import Study

    if asked.seed < 0:
        raise InvalidSetting(f"--seed is {asked.seed}; give a whole number of at least 0.")
    given = {name: getattr(asked, name) for name in ("frames", "every", "fps", "colour")}
    settings = FilmSettings(**{name: value for name, value in given.items() if value is not None})
    study = Study(asked.scenario, (asked.method,), (asked.seed,), tuple(map(named_value, asked.set)))
    run = study.groups()[0][0]
    made = film(run, asked.out, settings)
    print(f"{asked.out}: {made.frames} frames; mean online accuracy {made.taoa:.3f}")
    for note in notes(study):
        print(f"note:   {note}")
    return 0
