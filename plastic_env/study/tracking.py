"""Other places for what runs do: TensorBoard, Weights & Biases, or anything else with `write`.

pip install 'plastic_env[track]'
plastic-env run study.toml --track tensorboard
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from plastic_env.errors import InvalidSetting, look_up
from plastic_env.study.results import Result

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Sink(Protocol):
    """A place for rows. Those of one run come one after the other, run by run."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row: "run" is the run's id, "update" where in the stream, and all other values are numbers."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


def rows(run: str, result: Result) -> Iterator[dict[str, Any]]:
    """A row for each decision of a finished run; layers are averaged."""
    found = result.rows
    macs = np.cumsum(found["macs"])
    for at, stop in enumerate(found["stop"]):
        yield {
            "run": run,
            "update": stop,
            "online_accuracy": float(np.mean(found["accuracy"][at])),
            "loss": float(np.mean(found["loss"][at])),
            "width": float(np.mean(found["live"][at])),
            "dormant": float(np.mean(found["dormant"][at])),
            "macs": int(macs[at]),
        }


class TensorBoard:
    """Event files in `folder/tensorboard/<run>`: `tensorboard --logdir folder/tensorboard`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard", error) from error
        self._make, self._folder = SummaryWriter, folder / "tensorboard"
        self._run = ""
        self._writer: SummaryWriter | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a point to each of the run's curves."""
        if self._writer is None or row["run"] != self._run:
            self.close()
            self._run, self._writer = row["run"], self._make(str(self._folder / row["run"]))
        for name, value in _numbers(row).items():
            self._writer.add_scalar(name, value, row["update"])

    def close(self) -> None:
        """Write what is waiting."""
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """Runs of the project "plastic_env", kept in `folder/wandb`; offline unless WANDB_MODE says otherwise."""

    def __init__(self, folder: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb", error) from error
        self._wandb, self._folder, self._name = wandb, folder, ""
        self._run: Any = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Log the numbers at this update."""
        if row["run"] != self._name:
            self.close()
            os.environ.setdefault("WANDB_MODE", "offline")
            self._name = row["run"]
            quiet = self._wandb.Settings(silent=True, console="off")
            self._run = self._wandb.init(project="plastic_env", name=self._name, dir=str(self._folder), settings=quiet)
        self._run.log(_numbers(row), step=row["update"])

    def close(self) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()


SINKS: dict[str, Callable[[Path], Sink]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def open_sink(name: str, folder: Path) -> Sink:
    """The sink called `name`, for a study in this folder.

    Raises:
        UnknownName: no such sink. InvalidSetting: its package isn't installed.
    """
    return look_up(SINKS, name, "place to track runs")(folder)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in ("run", "update")}


def _missing(package: str, error: ImportError) -> InvalidSetting:
    return InvalidSetting(
        f"{package} can't be imported ({error}); install it with pip install 'plastic_env[track]', or leave out "
        f"--track {package}."
    )
