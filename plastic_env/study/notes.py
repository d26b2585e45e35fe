"""What is to be known of a study beside its results: on what learned policies were trained, and what tuning chose."""

from __future__ import annotations

from plastic_env.plain import describe
from plastic_env.study.sweep import Cell, Chosen, Study


def notes(study: Study) -> list[str]:
    """Of each policy that was learned: on what, and on what it is compared here. Of tuning: what it chose.

    Raises:
        PlasticEnvError: a study that can't be run.
    """
    trained = [note for cell in study.cells() if cell.runs for note in _training_notes(cell)]
    tuned = [_tuning_note(study, choice) for choice in study.chosen or ()]
    return [*trained, *tuned]


def _tuning_note(study: Study, choice: Chosen) -> str:
    tried = ", ".join(f"{name} {', '.join(map(str, values))}" for name, values in dict(study.tune).items())
    where = f" on {choice.scenario}" if len({other.scenario for other in study.chosen or ()}) > 1 else ""
    values = ", ".join(f"{name}={value}" for name, value in choice.values)
    return (
        f"{choice.method}{where} has {values}: TAOA {choice.taoa:.3f} over the {len(study.tuning_seeds)} tuning seeds "
        f"from {min(study.tuning_seeds)} (tried: {tried})."
    )


def _training_notes(cell: Cell) -> list[str]:
    run, seeds = cell.runs[0], [run.seed for run in cell.runs]
    trained_on = describe(run.method.make()).get("trained_on")
    if trained_on is None:
        return []
    here = [cell.scenario, getattr(run.scenario, "split", "")]
    there, (first, last) = [trained_on["scenario"], trained_on["split"]], trained_on["seeds"]
    note = (
        f"{cell.method} was trained on {_named(*there)}, seeds {first} to {last}, and lives here on "
        f"{_named(*here)}, seeds {min(seeds)} to {max(seeds)}."
    )
    if there == here and here[1]:
        note += " That is the split it was trained on: compare on another, with --set split=test."
    return [note]


def _named(scenario: str, split: str) -> str:
    return f"{scenario} (split {split})" if split else scenario
