"""The two ways to evaluate a method (arXiv 2605.15435): while it edits, and by the network that it ends with.

Cycle: test accuracy of the method's own learner at the end of each edit cycle (task). Winning ticket: the mask that it
ends with (which slots are live), given initial weights and trained again from the start of the same stream, the same
batches in the same order, with the method's learner settings, but without an edit. On a stream that has one task all
along (iid), that is retraining for as many updates as all cycles together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plastic_env.agents import Method
from plastic_env.agents.structural import NoEdit
from plastic_env.env.episode import Start
from plastic_env.errors import AgentError, InvalidSetting, look_up
from plastic_env.files import write_atomically
from plastic_env.study import measures
from plastic_env.study.plots import draw_cycle_ticket
from plastic_env.study.results import ByMethod, Result
from plastic_env.study.runner import Finished, run_study
from plastic_env.study.sweep import Cell, Run, Study


class Weights(NamedTuple):
    """The initial weights of tickets.

    summary: one line. suffix: what follows a method's name in the name of its tickets. draw: see `Start`.
    """

    summary: str
    suffix: str
    draw: int


WEIGHTS = {
    "fresh": Weights("another draw from the initial distribution, as in arXiv 2605.15435", "ticket", 1),
    "rewound": Weights(
        "those that the method's learner began with, slot by slot (Frankle & Carbin 2019): the first ones, even where "
        "an edit has drawn a slot's weights anew since",
        "rewound_ticket",
        0,
    ),
}


def ticket_name(method: str, weights: str = "fresh") -> str:
    """What the tickets of a method are called.

    Raises:
        UnknownName: no such weights.
    """
    return f"{method}/{look_up(WEIGHTS, weights, 'kind of initial weights').suffix}"


def retrained_methods(names: Iterable[str], weights: str) -> dict[str, str]:
    """Of all names of tickets those that have such weights, by the method's name; what labels have added stays."""
    ending = ticket_name("", weights)
    return {name.replace(ending, "", 1): name for name in names if ending in name}


@dataclass(frozen=True)
class Ticketed:
    """What one method's learners reached while they were edited, and what their tickets reached; arrays [seeds].

    cycle_acc, ticket_acc: test accuracy at the last checkpoint (task end). cycle_taa, ticket_taa: its mean over
        checkpoints.
    width: live units per editable layer of each mask. diverged: how many learners and how many tickets did.
    """

    seeds: np.ndarray
    cycle_acc: np.ndarray
    cycle_taa: np.ndarray
    ticket_acc: np.ndarray
    ticket_taa: np.ndarray
    width: np.ndarray
    diverged: tuple[int, int]


@dataclass(frozen=True)
class Tickets:
    """What `tickets` found.

    methods: by name. failures: what went wrong, by method and seed. picture: where it is drawn. cycles: what was run,
        before the tickets.
    """

    methods: dict[str, Ticketed]
    failures: dict[tuple[str, int], str]
    picture: Path
    cycles: Finished

    @property
    def complaints(self) -> list[str]:
        """A line for each run that failed, and for each method of which anybody diverged."""
        lines = [f"{method} failed with seed {seed}: {why}" for (method, seed), why in self.failures.items()]
        for name, found in self.methods.items():
            if any(found.diverged):
                learners, retrained = found.diverged
                lines.append(
                    f"{name}: {learners} learner(s) and {retrained} ticket(s) diverged, and count 0 from then."
                )
        return lines


@dataclass(frozen=True)
class TicketStudy(Study):
    """The tickets of a study's runs, as a study of their own.

    starts: (method, seed, start) of each ticket. weights: a name in `WEIGHTS`.
    """

    starts: tuple[tuple[str, int, Start], ...] = ()
    weights: str = "fresh"

    @staticmethod
    def of(study: Study, results: ByMethod, weights: str = "fresh") -> TicketStudy:
        """The tickets of the results that a study has, by method.

        Raises:
            UnknownName: no such weights.
        """
        draw = look_up(WEIGHTS, weights, "kind of initial weights").draw
        starts = [
            (method, result.seed, Start(result.mask, draw)) for method, found in results.items() for result in found
        ]
        settings = {part.name: getattr(study, part.name) for part in fields(study)}
        return TicketStudy(**settings, starts=tuple(starts), weights=weights)

    def cells(self) -> list[Cell]:
        """The tickets, cell by cell like the runs that they are of."""
        starts = {(method, seed): start for method, seed, start in self.starts}
        found = []
        for cell in super().cells():
            runs = [
                self._ticket(run, starts[cell.method, run.seed])
                for run in cell.runs
                if (cell.method, run.seed) in starts
            ]
            if runs:
                found.append(replace(cell, method=ticket_name(cell.method, self.weights), runs=tuple(runs)))
        return found

    def _ticket(self, run: Run, start: Start) -> Run:
        method = Method(f"the mask that {run.method_name} ends with, trained anew", NoEdit, run.method.learner)
        return replace(run, method_name=ticket_name(run.method_name, self.weights), method=method, start=start)


def tickets(
    study: Study,
    folder: Path,
    *,
    weights: str = "fresh",
    **running: Any,
) -> Tickets:
    """Run what isn't finished of a study, then of its tickets, and write `folder/cycle_<suffix>.png`.

    Tickets are kept like other runs, as `<method>/ticket` or `<method>/rewound_ticket`.

    Args:
        study: one with tests, "task" or "past" (all tasks so far, as in the paper).
        weights: a name in `WEIGHTS`.
        running: `running`, or fields of `Running`, as in `run_study`.

    Raises:
        PlasticEnvError: as `run_study`; InvalidSetting if nothing is or can be tested, UnknownName if there are no such
            weights, AgentError if every run failed.
    """
    suffix = look_up(WEIGHTS, weights, "kind of initial weights").suffix
    _check_tests(study)
    cycles = run_study(study, folder, **running)
    results = cycles.results
    if not results:
        raise AgentError("Every run failed. " + " ".join(dict.fromkeys(cycles.failures.values())))
    made = TicketStudy.of(cycles.study, results, weights)
    retrained = run_study(made, folder, **running)
    anew = retrained.results
    pairs = beside(results, {method: anew.get(ticket_name(method, weights), []) for method in results})
    picture = folder / f"cycle_{suffix}.png"
    _draw(cycles.cells[0].title, pairs, picture)
    found = {name: compared(*pair) for name, pair in pairs.items()}
    return Tickets(found, cycles.failures | retrained.failures, picture, cycles)


def _check_tests(study: Study) -> None:
    cells = study.cells()
    if len({cell.scenario for cell in cells}) > 1:
        raise InvalidSetting("Tickets are compared on one scenario at a time; give one.")
    known = study.tuning.cells() if study.tune and study.chosen is None else cells  # these wait for their tuning
    run = next(run for cell in known for run in cell.runs)
    stream = run.scenario.stream(0)
    if stream.task(len(stream.lengths) - 1).test is None:
        raise InvalidSetting(f"The last task of {run.scenario_name} has no test samples to compare accuracy on.")
    if run.episode.tests == "none":
        raise InvalidSetting("The study has tests='none'; choose tests='past', or 'task' for each task's own samples.")


def beside(cycles: ByMethod, retrained: ByMethod) -> dict[str, tuple[list[Result], list[Result]]]:
    """By method, its runs and their tickets, seed by seed; methods without such a pair are left out."""
    found = {}
    for method, results in cycles.items():
        after = {result.seed: result for result in retrained.get(method, [])}
        both = [result for result in results if result.seed in after]
        if both:
            found[method] = both, [after[result.seed] for result in both]
    return found


def _draw(title: str, pairs: Mapping[str, tuple[list[Result], list[Result]]], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((7.2, 5), layout="constrained")
    ax = draw_cycle_ticket({name: measures.cycle_ticket(*pair) for name, pair in pairs.items()}, figure.subplots())
    ax.set_title(title)
    write_atomically(picture, lambda path: figure.savefig(path, format="png", dpi=150))


def compared(cycles: Sequence[Result], retrained: Sequence[Result]) -> Ticketed:
    """One method's runs against their tickets."""
    (cycle_acc, cycle_taa), (ticket_acc, ticket_taa) = (measures.acc_taa(found).T for found in (cycles, retrained))
    return Ticketed(
        seeds=np.array([result.seed for result in cycles]),
        cycle_acc=cycle_acc,
        cycle_taa=cycle_taa,
        ticket_acc=ticket_acc,
        ticket_taa=ticket_taa,
        width=np.array([np.mean([len(slots) for slots in result.mask]) for result in cycles]),
        diverged=(_diverged(cycles), _diverged(retrained)),
    )


def _diverged(results: Sequence[Result]) -> int:
    return sum(bool(result.last("diverged")) for result in results)
