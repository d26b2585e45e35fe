"""Checkpoints of groups that take long: all that decides how their lives go on, in one file that is gone in the end.

Agents are pickled, and reading a pickle runs what is in it: take up studies only from folders that you trust.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plastic_env.files import write_atomically
from plastic_env.study.results import environment
from plastic_env.study.sweep import Run

if TYPE_CHECKING:
    from plastic_env.study.living import Lives

ENDING = ".checkpoint"
_KEPT = ("agents", "infos", "decisions", "failures")  # of `Lives`, beside the lifetime


@dataclass
class Checkpoint:
    """The file of one group, and what is to be said of it.

    The file's name follows from the runs and the versions that compute them: others never read it.
    """

    path: Path
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(runs: Sequence[Run], folder: Path) -> Checkpoint:
        """The one of these runs."""
        digest = hashlib.sha256(repr(([run.id for run in runs], environment())).encode()).hexdigest()
        return Checkpoint(folder / f"{digest[:16]}{ENDING}")

    def save(self, lives: Lives) -> None:
        """Keep all of it; where an agent can't be pickled, say so instead.

        Raises:
            FileError: the file can't be written.
        """
        kept = {name: getattr(lives, name) for name in _KEPT}
        try:
            content = pickle.dumps({"lifetime": lives.lifetime.capture(), **kept})
        except Exception as error:  # pickling runs the agents' own code
            self._say(f"No checkpoints of {', '.join(sorted({type(agent).__name__ for agent in lives.agents}))}: {error}.")
            return
        write_atomically(self.path, lambda path: path.write_bytes(content))

    def restored(self, blank: Callable[[], Lives]) -> Lives | None:
        """The lives to go on with, put into blank ones; None if there is no file to go on from."""
        if not self.path.exists():
            return None
        try:
            kept, lives = pickle.loads(self.path.read_bytes()), blank()
            lives.lifetime.restore(kept["lifetime"])
        except Exception as error:
            self._say(f"{self.path.name} can't be read ({type(error).__name__}: {error}); its group began anew.")
            return None
        for name in _KEPT:
            setattr(lives, name, kept[name])
        return lives

    def remove(self) -> None:
        """It has done its work."""
        self.path.unlink(missing_ok=True)

    def _say(self, note: str) -> None:
        self.notes = tuple(dict.fromkeys((*self.notes, note)))
