"""Checkpoints of groups that take long: all that decides how their lives go on, in one file that is gone in the end.

Agents are pickled, and reading a pickle runs what is in it: take up studies only from folders that you trust.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plastic_env.files import write_atomically
from plastic_env.study.living import Lives
from plastic_env.study.results import environment
from plastic_env.study.sweep import Run

ENDING = ".checkpoint"


@dataclass
class Checkpoint:
    """The file of one group, and what is to be said of it.

    The file's name follows from the runs and from the versions that compute them: others never read it.
    """

    path: Path  #: the file
    notes: tuple[str, ...] = ()  #: why nothing is kept, if so

    @staticmethod
    def of(runs: Sequence[Run], folder: Path) -> Checkpoint:
        """The one of these runs."""
        digest = hashlib.sha256(repr(([run.id for run in runs], environment())).encode()).hexdigest()
        return Checkpoint(folder / f"{digest[:16]}{ENDING}")

    def save(self, lives: Lives) -> None:
        """Keep all of it; if that can't be done, as with agents that can't be pickled, say so instead.

        Raises:
            FileError: the file can't be written.
        """
        kept = {name: getattr(lives, name) for name in lives.KEPT}
        try:
            content = pickle.dumps({"lifetime": lives.lifetime.capture(), **kept})
        except Exception as error:  # pickling runs the agents' own code
            names = ", ".join(dict.fromkeys(run.method_name for run in lives.runs))
            self._say(f"No checkpoints of {names}: {error}. If interrupted, they begin anew.")
            return
        write_atomically(self.path, lambda path: path.write_bytes(content))

    def restored(self, runs: Sequence[Run]) -> Lives | None:
        """The lives of these runs to go on with; None if there is no file to go on from."""
        if not self.path.exists():
            return None
        lives = Lives(runs)
        try:
            kept = pickle.loads(self.path.read_bytes())
            lives.lifetime.restore(kept["lifetime"])
            for name in lives.KEPT:
                setattr(lives, name, kept[name])
        except Exception as error:  # it holds what agents have put there
            self._say(f"{self.path.name} can't be read ({type(error).__name__}: {error}); its group began anew.")
            return None
        return lives

    def remove(self) -> None:
        """It has done its work."""
        self.path.unlink(missing_ok=True)

    def _say(self, note: str) -> None:
        self.notes = tuple(dict.fromkeys((*self.notes, note)))
