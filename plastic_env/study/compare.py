"""The main job: run methods on one scenario, sum them up, draw their plasticity curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plastic_env.errors import AgentError
from plastic_env.files import write_atomically
from plastic_env.study import measures, report
from plastic_env.study.plots import plasticity_figure
from plastic_env.study.runner import Failures, run_study
from plastic_env.study.sweep import Study


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: summaries by method, where the picture is, and what went wrong, by method and seed."""

    scenario: str
    summaries: dict[str, report.Summary]
    picture: Path
    failures: Failures

    @property
    def table(self) -> str:
        """For people."""
        return report.as_table(self.summaries)

    @property
    def json(self) -> dict[str, Any]:
        """For programs."""
        return report.as_json(self.scenario, self.summaries)

    @property
    def complaints(self) -> list[str]:
        """A line for each method of which any run failed."""
        why: dict[str, list[str]] = {}
        for (method, _), reason in self.failures.items():
            why.setdefault(method, []).append(reason)
        return [f"{method} failed with {len(reasons)} seed(s): {reasons[0]}" for method, reasons in why.items()]


def compare(
    study: Study, folder: Path, *, threads: int = 1, overwrite: bool = False, show_progress: bool = True
) -> Comparison:
    """Run what isn't finished, and write `folder/plasticity_curves.png`.

    Raises:
        PlasticEnvError: as `run_study`; AgentError if every method failed.
    """
    finished = run_study(study, folder, threads=threads, overwrite=overwrite, show_progress=show_progress)
    if not finished.results:
        raise AgentError("Every run failed. " + " ".join(dict.fromkeys(finished.failures.values())))
    curves = {name: measures.curves(results) for name, results in finished.results.items()}
    picture = folder / "plasticity_curves.png"
    figure = plasticity_figure(study.scenario, curves)
    write_atomically(picture, lambda path: figure.savefig(path, format="png", dpi=150))
    summaries = {name: report.summarise(results) for name, results in finished.results.items()}
    return Comparison(study.scenario, summaries, picture, finished.failures)
