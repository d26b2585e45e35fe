"""What people see while a study runs: a bar in a terminal, a line per finished run elsewhere and in `study.log`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm

from plastic_env.files import append
from plastic_env.study.results import Result
from plastic_env.study.sweep import Run
from plastic_env.study.tracking import Sink, rows

LOG = "study.log"


class Progress(AbstractContextManager["Progress"]):
    """Tells of runs and learner-updates as they are done.

    Args:
        folder: where `study.log` is.
        runs, updates: how many are to be done.
        show: whether to tell on stderr, too.
        sinks: told of every finished run's decisions.
    """

    def __init__(self, folder: Path, runs: int, updates: int, show: bool, sinks: Sequence[Sink] = ()) -> None:
        self.folder, self.sinks, self.show = folder, sinks, show
        self.runs, self.ended, self.total, self.done = runs, 0, updates, 0
        self.start = time.monotonic()
        bar = show and runs > 0 and sys.stderr.isatty()
        self.lines = show and not bar
        self.bar = tqdm(total=updates, unit=" updates", unit_scale=True, disable=not bar, desc=self._count())

    def __exit__(self, *_: Any) -> None:
        self.bar.close()

    def updates(self, updates: int) -> None:
        """So many learner-updates more are done."""
        self.done += updates
        self.bar.update(updates)

    def finished(self, run: Run, result: Result) -> None:
        """A run is stored."""
        for sink in self.sinks:
            for row in rows(run.id, result):
                sink.write(row)
        self._ended(run, f"TAOA {result.taoa():.3f}")

    def failed(self, run: Run, why: str) -> None:
        """A run won't be stored."""
        self._ended(run, f"failed: {why}")

    def note(self, text: str) -> None:
        """Something else that is to be known."""
        line = f"{datetime.now().isoformat(' ', 'seconds')}  {text}"
        append(self.folder / LOG, line)
        if self.lines:
            print(line, file=sys.stderr, flush=True)

    def _ended(self, run: Run, what: str) -> None:
        self.ended += 1
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        left = timedelta(seconds=round(max(0, self.total - self.done) / rate)) if rate else "?"
        where = f"{run.method_name} on {run.scenario_name}, seed {run.seed}"
        self.bar.set_description_str(self._count())
        self.note(f"{self._count()}  {where}: {what}  ({rate:,.0f} updates/s, {left} left)")

    def _count(self) -> str:
        return f"{self.ended}/{self.runs} runs"
