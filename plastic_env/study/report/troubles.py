"""What a reader should know before believing anything: what failed, diverged, is missing, or was left out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from plastic_env.study.folder import Failure, Folder
from plastic_env.study.planned import Gap, Planned
from plastic_env.study.report import origin, tables
from plastic_env.study.report.markup import Cell, Column, Html, Section, element, joined, table
from plastic_env.study.results import Result
from plastic_env.study.values import shortest

TITLE = "What went wrong"
_WHO = (Column("method", numeric=False), Column("scenario", numeric=False))


def count_missing(found: Folder) -> int:
    """How many runs are still to be done."""
    return sum(len(gap.seeds) for gap in _gaps(found) if not gap.why)


def count_failed(found: Folder) -> int:
    """How many runs failed, or can't be run."""
    return len(found.failures) + sum(len(gap.seeds) for gap in _gaps(found) if gap.why)


def diverged(found: Folder) -> list[tuple[str, str, Result]]:
    """Scenario, method and result of each learner that did, tickets among them."""
    return [
        (scenario, method, result)
        for results in (found.results, found.tickets)
        for scenario, methods in results.items()
        for method, runs in methods.items()
        for result in runs
        if result.rows["diverged"][-1]
    ]


def warnings(found: Folder) -> Html:
    """For the top of the page."""
    return joined(*(element("p", text, class_="warning") for text in _warnings(found)))


def troubles(found: Folder) -> Section | None:
    """All of it, one by one; None if there is nothing to tell."""
    gaps, bad = _gaps(found), diverged(found)
    parts = [
        _failures(found.failures, bad) if found.failures or bad else None,
        _missing(gaps) if gaps else None,
        *(_resuming(plan) for plan in found.planned if any(not gap.why for gap in plan.gaps)),
        *(element("p", problem) for problem in _unknown(found)),
        _left_out(found.left_out) if found.left_out else None,
    ]
    told = [part for part in parts if part is not None]
    return Section(TITLE, joined(*told)) if told else None


def _warnings(found: Folder) -> list[str]:
    said = []
    mixed = [name for name, values in origin.versions_of(found.results).items() if len(values) > 1]
    if mixed:
        said.append(f"The runs were not all made by the same versions ({', '.join(mixed)}): see Versions and commands.")
    uneven = [
        name for name, methods in found.results.items() if len({len(results) for results in methods.values()}) > 1
    ]
    if uneven:
        said.append(f"Methods don't have equally many seeds on {', '.join(uneven)}.")
    empty = {failure.scenario for failure in found.failures if failure.kind == "results"} - set(found.results)
    said += [f"{name}: every run failed." for name in sorted(empty)]
    failed, missing = count_failed(found), count_missing(found)
    if failed:
        reasons = [failure.why for failure in found.failures] + [gap.why for gap in _gaps(found) if gap.why]
        said.append(
            f"{_many(failed, 'run')} failed, and {_is(failed)} left out of all numbers. The first: {reasons[0]}"
        )
    if missing:
        said.append(f"{_many(missing, 'run')} of the study {_is(missing)} missing: see {TITLE}.")
    said += _unknown(found)
    if found.left_out:
        left = len(found.left_out)
        said.append(f"{_many(left, 'file')} {_is(left)} left out. The first: {found.left_out[0]}")
    return said


def _gaps(found: Folder) -> list[Gap]:
    return [gap for plan in found.planned for gap in plan.gaps]


def _unknown(found: Folder) -> list[str]:
    return [f"What is missing in {plan.folder} can't be told: {plan.problem}" for plan in found.planned if plan.problem]


def _failures(failures: Sequence[Failure], bad: Sequence[tuple[str, str, Result]]) -> Html:
    rows = [
        [Cell(failure.method), Cell(failure.scenario), tables.count(failure.seed), Cell(_why(failure))]
        for failure in failures
    ]
    for scenario, method, result in bad:
        told = f"diverged by update {result.rows['stop'][-1]}"
        rows.append([Cell(method), Cell(scenario), tables.count(result.seed), Cell(told)])
    return table("Runs that failed or diverged", (*_WHO, Column("seed"), Column("what", numeric=False)), rows)


def _why(failure: Failure) -> Html:
    trace = (
        element("details", element("summary", "traceback"), element("pre", failure.trace)) if failure.trace else None
    )
    return joined(failure.why, trace)


def _missing(gaps: Sequence[Gap]) -> Html:
    columns = (*_WHO, Column("runs"), Column("seeds", numeric=False), Column("why", numeric=False))
    rows = [
        [
            Cell(gap.method),
            Cell(gap.scenario),
            tables.count(len(gap.seeds)),
            Cell(seeds_text(gap.seeds)),
            Cell(f"can't be run: {gap.why}" if gap.why else "not yet run"),
        ]
        for gap in gaps
    ]
    return table("Runs of the study that the folder lacks", columns, rows)


def _resuming(plan: Planned) -> Html:
    command = element("code", shlex.join(["plastic-env", "resume", str(plan.folder)]))
    return element("p", "What is missing, this runs: ", command, class_="remark")


def _left_out(reasons: Sequence[str]) -> Html:
    items = (element("li", reason) for reason in reasons)
    return joined(element("p", "Files that were left out", class_="caption"), element("ul", *items, class_="left-out"))


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds for readers: 0 to 7, 9."""
    written = shortest(seeds)
    if isinstance(written, int):
        written = [f"0-{written - 1}"] if written > 1 else [0]
    return ", ".join(map(str, written)).replace("-", " to ")


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
