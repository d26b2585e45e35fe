"""The main job: run methods on scenarios, sum them up, draw their plasticity curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plastic_env.errors import AgentError
from plastic_env.files import write_atomically
from plastic_env.study import measures, report
from plastic_env.study.plots import plasticity_figure
from plastic_env.study.runner import Finished, run_study
from plastic_env.study.sweep import Study

PICTURE = "plasticity_curves"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found on one scenario: summaries by method, and where the picture is."""

    scenario: str
    summaries: dict[str, report.Summary]
    picture: Path

    @property
    def table(self) -> str:
        """For people."""
        return report.as_table(self.summaries)

    @property
    def json(self) -> dict[str, Any]:
        """For programs."""
        return report.as_json(self.scenario, self.summaries)


@dataclass(frozen=True)
class Comparisons:
    """What `compare` found.

    each: scenario by scenario. finished: all that was run.
    """

    each: tuple[Comparison, ...]
    finished: Finished

    @property
    def complaints(self) -> list[str]:
        """A line for each method of which any run failed, and each scenario if there are several."""
        found = []
        for cell in self.finished.cells:
            where = f" on {cell.scenario}" if len(self.finished.scenarios) > 1 else ""
            if cell.error:
                found.append(f"{cell.method}{where} can't be run: {cell.error}")
            why = [self.finished.failed[run.id] for run in cell.runs if run.id in self.finished.failed]
            if why:
                found.append(f"{cell.method}{where} failed with {len(why)} seed(s): {why[0]}")
        return found


def compare(study: Study, folder: Path, **running: Any) -> Comparison:
    """Compare on the only scenario: see `compare_all`."""
    (comparison,) = compare_all(study, folder, **running).each
    return comparison


def compare_all(study: Study, folder: Path, **running: Any) -> Comparisons:
    """Run what isn't finished, and write a picture for each scenario: `folder/plasticity_curves.png`, or with the
    scenario's label behind if there are several.

    running: fields of `Running`.

    Raises:
        PlasticEnvError: as `run_study`; AgentError if every run on some scenario failed.
    """
    finished = run_study(study, folder, **running)
    titles = {cell.scenario: cell.title for cell in finished.cells}
    found = []
    for label, title in titles.items():
        name = PICTURE if len(titles) == 1 else f"{PICTURE}-{label.replace('/', '_')}"
        results = finished.on(label)
        if not results:
            where = "" if len(titles) == 1 else f" on {label}"
            raise AgentError(f"Every run failed{where}. {' '.join(finished.reasons(label))}")
        figure = plasticity_figure(title, {method: measures.curves(runs) for method, runs in results.items()})
        picture = folder / f"{name}.png"
        write_atomically(picture, lambda path, figure=figure: figure.savefig(path, format="png", dpi=150))  # type: ignore[misc]
        summaries = {method: report.summarise(runs) for method, runs in results.items()}
        found.append(Comparison(title, summaries, picture))
    return Comparisons(tuple(found), finished)
