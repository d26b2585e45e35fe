"""Results on disk: one Parquet file per run, whole or absent, with every setting inside."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from plastic_env.env.episode import Outcome, Plan
from plastic_env.errors import FileError
from plastic_env.files import write_atomically
from plastic_env.learner.cohorts import CohortHistory, CohortPoint
from plastic_env.learner.compute import parameters
from plastic_env.learner.edits import KINDS
from plastic_env.learner.network import Network
from plastic_env.streams.stream import TaskStream
from plastic_env.study import stats
from plastic_env.study.sweep import Run

ByMethod = Mapping[str, Sequence["Result"]]  # a method's results, one for each seed
ByScenario = Mapping[str, ByMethod]
KEY = b"plastic_env"  # of the settings in a file's metadata

_PER_LAYER = (
    "log_activation_parity",
    "log_gradient_parity",
    "log_utility_parity",
    "dormant",
    "dead",
    "effective_rank",
    "stable_rank",
    "srank",
    "weight_norm",
    "gradient_norm",
    "age",
    "newborn",
)


@dataclass(frozen=True)
class Result:
    """A finished run.

    settings: all that decides it, as `Run.settings`, and the versions that made it.
    rows: by column, a value for each of its agent's decisions.
    """

    settings: Mapping[str, Any]
    rows: Mapping[str, Sequence[Any]]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.settings["seed"])

    @property
    def task_ends(self) -> list[int]:
        """[tasks] the update after each task, the last one of which ends the stream."""
        return [*self.settings["shifts"], self.settings["updates"]]

    def online_accuracy(self) -> np.ndarray:
        """[updates of the stream] accuracy of each batch before it was trained on; 0 after an early end."""
        accuracy = np.zeros(self.settings["updates"])
        for start, batches in zip(self.rows["start"], self.rows["accuracy"], strict=True):
            accuracy[start : start + len(batches)] = batches
        return accuracy

    def taoa(self) -> float:
        """Mean online accuracy over the tasks that are scored."""
        return float(stats.taoa(self.online_accuracy(), self.task_ends, self.settings["scored"]))

    def macs(self) -> float:
        """Multiply-accumulates of the whole life: training, probes and edits."""
        return sum(self.rows["macs"])

    def test_accuracy(self) -> float:
        """Mean accuracy over the tests at the stream's end; 0 after divergence, NaN if nothing was tested there."""
        if self.rows["diverged"][-1] and self.settings["episode"]["tests"] != "none":
            return 0.0
        tests = np.array(self.rows["tests"][-1], dtype=float)
        whole = self.rows["stop"][-1] == self.settings["updates"]
        return float(np.nanmean(tests)) if whole and np.isfinite(tests).any() else float("nan")

    @property
    def mask(self) -> tuple[tuple[int, ...], ...]:
        """Which slots of each editable layer were live at the end, ascending."""
        return tuple(map(tuple, self.settings["live_slots"]))

    def cohorts(self) -> CohortHistory:
        """All cohorts of the run, through their lives."""
        return CohortHistory([point for step in range(len(self.rows["stop"])) for point in self.cohorts_at(step)])

    def cohorts_at(self, step: int) -> list[CohortPoint]:
        """Those seen in one step: right after its edit of units, if there was one, and then at its end."""
        columns = (self.rows[f"cohort_{f.name}"][step] for f in fields(CohortPoint))
        return [CohortPoint(*values) for values in zip(*columns, strict=True)]

    def last(self, name: str) -> np.ndarray:
        """A column's value after the last step, [] or [layers]."""
        return np.asarray(self.rows[name][-1])


@dataclass(frozen=True)
class Decision:
    """One step of a run.

    requested: what the agent asked for. outcome: what came of it. reward: what that was worth.
    """

    requested: Plan
    outcome: Outcome
    reward: float


def write_run(
    folder: Path,
    run: Run,
    life: Sequence[Decision],
    stacked: Sequence[Sequence[Any]],
    stream: TaskStream,
    live_slots: Sequence[Sequence[int]],
) -> None:
    """Store a finished run as `folder/<id>.parquet`.

    stacked: method and seed of each run in its population (results agree with other stackings but for rounding).
    live_slots: its mask at the end, of each editable layer.
    """
    settings = {
        **run.settings,
        "id": run.id,
        "updates": life[0].outcome.stream_updates,
        "shifts": list(stream.shifts),
        "scored": None if stream.scored is None else list(stream.scored),
        "stacked": [list(member) for member in stacked],
        "live_slots": [list(slots) for slots in live_slots],
        "environment": environment(),
    }
    table = pa.table(_columns(life) | {"parameters": _parameters(life, run, stream)})
    table = table.replace_schema_metadata({KEY: json.dumps(settings, sort_keys=True).encode()})
    write_atomically(run.path(folder), lambda path: pq.write_table(table, path))
    run.error_path(folder).unlink(missing_ok=True)


def environment() -> dict[str, str]:
    """The versions of what computes results."""
    return {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}


def write_failure(folder: Path, run: Run, why: str, trace: str) -> None:
    """Store what went wrong with a run as `folder/<id>.error.json`, until it succeeds; an older result is outdated, and
    removed."""
    record = json.dumps({"error": why, "traceback": trace, "settings": run.settings}, indent=2, sort_keys=True)
    write_atomically(run.error_path(folder), lambda path: path.write_text(record))
    run.path(folder).unlink(missing_ok=True)


def read_failure(folder: Path, run: Run) -> str | None:
    """What went wrong with a run when it was tried last, or None."""
    try:
        return str(json.loads(run.error_path(folder).read_text())["error"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{run.error_path(folder)} can't be read ({error})."


def is_stored(folder: Path, run: Run) -> bool:
    """Whether the result of `run` is there; of its file, only the end is looked at.

    Raises:
        FileError: as `read_run`.
    """
    path = run.path(folder)
    if not path.exists():
        return False
    with _explained(path):
        _check(run, path, _settings(pq.read_schema(path)))
    return True


def read_run(folder: Path, run: Run) -> Result | None:
    """The stored result of `run`, or None if there is none.

    Raises:
        FileError: there is a file, but it can't be read or holds another run.
    """
    path = run.path(folder)
    if not path.exists():
        return None
    result = read_result(path)
    _check(run, path, result.settings)
    return result


def read_result(path: Path) -> Result:
    """A result by its file.

    Raises:
        FileError: it can't be read.
    """
    with _explained(path):
        table = pq.read_table(path)
        return Result(_settings(table.schema), table.to_pydict())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} can't be read ({error}); remove it, or run with --overwrite.") from error


def _settings(schema: pa.Schema) -> dict[str, Any]:
    return json.loads(schema.metadata[KEY])


def _check(run: Run, path: Path, settings: Mapping[str, Any]) -> None:
    if _canonical({key: settings.get(key) for key in run.settings}) != _canonical(run.settings):
        raise FileError(f"{path} holds another run than its name says; remove it, or run with --overwrite.")


def _canonical(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _columns(life: Sequence[Decision]) -> dict[str, list[Any]]:
    outcomes, asked = [decision.outcome for decision in life], [decision.requested for decision in life]
    columns: dict[str, list[Any]] = {
        "start": [o.start for o in outcomes],
        "stop": [o.stop for o in outcomes],
        "accuracy": [o.accuracy.tolist() for o in outcomes],
        "loss": [o.loss.tolist() for o in outcomes],
        "tests": [list(o.tests) for o in outcomes],
        "tested": [list(o.tested) for o in outcomes],
        "reward": [decision.reward for decision in life],
        "budget": [plan.budget for plan in asked],
        "live": [list(o.live) for o in outcomes],
        "newborns": [list(o.newborns) for o in outcomes],
        "comparable": [o.end.comparable.tolist() for o in outcomes],
        "macs": [o.macs for o in outcomes],
        "shift": [o.shift for o in outcomes],
        "diverged": [o.diverged for o in outcomes],
        "terminated": [o.terminated for o in outcomes],
        "truncated": [o.truncated for o in outcomes],
    }
    for kind in KINDS:
        columns[kind] = [list(o.plan.edit.counts(kind, len(o.live))) for o in outcomes]
        columns[f"asked_{kind}"] = [
            list(plan.edit.counts(kind, len(o.live))) for plan, o in zip(asked, outcomes, strict=True)
        ]
        columns[f"{kind}_rule"] = [getattr(o.plan.edit, f"{kind}_rule") for o in outcomes]
    for name in ("insertion", "optimizer_state", "trainability", "transfer_bias", "rewind", "store", "reset"):
        columns[name] = [getattr(o.plan.edit, name) for o in outcomes]
    for name in _PER_LAYER:
        columns[name] = [getattr(o.end, name).tolist() for o in outcomes]
    for name in ("comparable", "log_activation_parity", "log_gradient_parity"):
        columns[f"birth_{name}"] = [None if o.birth is None else getattr(o.birth, name).tolist() for o in outcomes]
    for f in fields(CohortPoint):
        columns[f"cohort_{f.name}"] = [[getattr(point, f.name) for point in o.cohorts] for o in outcomes]
    return columns


def _parameters(life: Sequence[Decision], run: Run, stream: TaskStream) -> list[int]:
    """Live parameters at each step's end."""
    learner, world = run.episode.learner, stream.signature
    network = Network.of(learner, world.inputs, world.outputs, world.loss)
    widths = [network.input_units, *(learner.live_of(spec) for spec in learner.layers), world.outputs]
    found = []
    for decision in life:
        for at, units in zip(network.editable, decision.outcome.live, strict=True):
            widths[at + 1] = units
        found.append(parameters(network, widths))
    return found
