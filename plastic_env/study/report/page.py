"""One page of HTML about a folder of results, which needs no other file and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

import plastic_env
from plastic_env.errors import look_up
from plastic_env.files import write_atomically
from plastic_env.study import costs
from plastic_env.study.folder import Folder, read_folder
from plastic_env.study.report import origin, pictures, tables, troubles
from plastic_env.study.report.budgets import by_cost, by_updates
from plastic_env.study.report.commands import Commands, commands_of
from plastic_env.study.report.comparing import Compared, compare_with, reference_among
from plastic_env.study.report.cycle import cycle_sections
from plastic_env.study.report.markup import Html, Section, contents, element, joined, sections
from plastic_env.study.report.summary import details, summarise
from plastic_env.study.report.tables import Row
from plastic_env.study.results import ByMethod, ByScenario
from plastic_env.study.stats import mean_interval
from plastic_env.study.text import interval_text, p_text
from plastic_env.study.values import suffix

NAME = "report.html"


@dataclass(frozen=True)
class ReportSettings:
    """What a report is to say besides what the results do.

    question: what the study was for. reference: the method that others are compared with; None: dense, or the first.
    commands: lines that redo the results; none: they are made of what the results tell.
    """

    question: str = ""
    reference: str | None = None
    commands: Sequence[str] = ()


def write_report(folder: Path, out: Path | None = None, asked: ReportSettings | None = None) -> Path:
    """Write a page about all results in `folder`, and return where it is.

    out: the file; None: report.html in the folder.

    Raises:
        FileError: the folder can't be read (see `read_folder`), or the file not be written.
        UnknownName: no method is called as the reference.
    """
    asked, found = asked or ReportSettings(), read_folder(folder)
    if asked.reference is not None:
        look_up(dict.fromkeys(found.methods), asked.reference, "reference method")
    path = out or folder / NAME
    text = page(found, folder, asked)
    write_atomically(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
    return path


def page(found: Folder, folder: Path, asked: ReportSettings) -> str:
    """The whole page."""
    title = asked.question or f"Methods on {_listed(list(found.results))}"
    wrong = troubles.troubles(found)
    parts = [
        *([_overview(found, asked)] if len(found.results) > 1 else []),
        *(_scenario(name, found, asked) for name in found.results),
        *([wrong] if wrong is not None else []),
        *([_tuning(found.tuning, found.results)] if found.tuning else []),
        _settings(found),
        _origin(found, folder, asked),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _asset("page.css")),
    )
    top = element("header", element("h1", title), _facts(found), troubles.warnings(found))
    menu = element(
        "nav",
        element("details", element("summary", "Contents"), contents(parts), open=True, id="contents"),
        element("button", "Fold all", type="button", id="fold"),
        aria_label="contents",
    )
    body = element("body", top, menu, element("main", sections(parts)), element("script", _asset("page.js")))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _scenario(name: str, found: Folder, asked: ReportSettings) -> Section:
    methods = found.results[name]
    colours = tables.colours_of(list(methods))
    reference = reference_among(list(methods), asked.reference)
    compared = compare_with(methods, reference)
    failed = [each.method for each in found.failures if each.scenario == name and each.kind == "results"]
    rows = {
        method: Row(summarise(results), details(results), len(results), failed.count(method))
        for method, results in methods.items()
    }
    rows |= {method: Row(None, None, 0, failed.count(method)) for method in failed if method not in methods}
    return Section(
        name,
        element("p", _finding(rows, compared, reference, colours), class_="finding"),
        [
            Section("Summary", tables.summary_table(rows, colours)),
            Section(f"Differences from {reference}", _compared(compared, methods, reference, colours)),
            Section("Equal budgets", _budgets(methods, colours), pictures.budget_pictures(methods)),
            *cycle_sections(methods, found.tickets.get(name, {}), asked.reference, colours),
            Section("Along the stream", parts=pictures.stream_pictures(name, methods)),
            Section("Units and newborns", parts=pictures.unit_pictures(methods)),
        ],
    )


def _finding(
    rows: Mapping[str, Row], compared: Mapping[str, Compared], reference: str, colours: Mapping[str, str]
) -> Html:
    """Who has the highest TAOA, and by how much."""
    known = {name: row.summary for name, row in rows.items() if row.summary is not None}
    best = max(known, key=lambda name: known[name].taoa.mean)
    said = joined("Highest TAOA: ", tables.label(best, colours), f" {interval_text(known[best].taoa)}")
    if best not in compared:
        return joined(said, ".")
    one = compared[best]
    apart = joined(f"; {interval_text(one.difference, '+')} against ", tables.label(reference, colours))
    return joined(
        said, apart, f" (sign-flip p {p_text(one.corrected_sign_flip, 'unknown')}, corrected by Holm's rule)."
    )


def _compared(
    compared: Mapping[str, Compared],
    methods: ByMethod,
    reference: str,
    colours: Mapping[str, str],
) -> Html:
    alone = [name for name in methods if name != reference and name not in compared]
    remark = element("p", f"No seed in common with {reference}: {', '.join(alone)}.") if alone else None
    if not compared:
        return joined(element("p", f"There is nothing to compare {reference} with."), remark)
    pairs = min(one.pairs for one in compared.values())
    least = element(
        "p",
        f"All tests are two-sided. With {pairs} pairs, a sign-flip p can't fall below {2 / 2**pairs:.2g}, however "
        "large the difference, and the correction multiplies it.",
        class_="remark",
    )
    picture = pictures.difference_picture({name: one.difference for name, one in compared.items()}, reference)
    tests = tables.comparison_table("TAOA", compared, reference, colours)
    return joined(picture, tests, least if pairs < 10 else None, remark)


def _budgets(methods: ByMethod, colours: Mapping[str, str]) -> Html:
    views = {
        "updates": by_updates(methods),
        "MACs": by_cost(methods, "macs"),
        "parameter-updates": by_cost(methods, "parameters"),
    }
    sizes = {name: costs.mean_parameters(results) for name, results in methods.items()}
    remark = (
        "A budget is what the thriftiest run spends in its whole life. MACs are multiply-accumulates, "
        "parameter-updates live parameters, added up over updates. Batches of tasks that aren't scored count here, "
        "too. A run that ended early counts as if it had gone on at the cost of its last step, with accuracy 0."
    )
    return joined(tables.budget_table(views, sizes, colours), element("p", remark, class_="remark"))


def _overview(found: Folder, asked: ReportSettings) -> Section:
    reference = reference_among(found.methods, asked.reference)
    return Section("All scenarios", parts=pictures.heat_maps(found.results, reference))


def _facts(found: Folder) -> Html:
    runs = [result for methods in found.results.values() for results in methods.values() for result in results]
    seeds = sorted({result.seed for result in runs})
    facts = {
        "scenarios": str(len(found.results)),
        "methods": str(len(found.methods)),
        "seeds": f"{len(seeds)} ({troubles.seeds_text(seeds)})",
        "finished runs": str(len(runs)),
        "tickets": _several(found.tickets),
        "tuning runs": _several(found.tuning),
        "updates per run": _extent([result.settings["updates"] for result in runs]),
        "diverged": str(len(troubles.diverged(found))),
        "failed": str(troubles.count_failed(found)),
        "missing": str(troubles.count_missing(found)) if found.planned else "",
    }
    told = {name: value for name, value in facts.items() if value}
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in told.items()))


def _several(found: ByScenario) -> str:
    """How many results, if any."""
    return str(sum(len(results) for methods in found.values() for results in methods.values()) or "")


def _tuning(found: ByScenario, results: ByScenario) -> Section:
    """What candidates reached on the seeds of the tuning."""
    scores = {
        (scenario, method): mean_interval(np.array([result.taoa() for result in results]))
        for scenario, methods in found.items()
        for method, results in methods.items()
    }
    seeds = sorted({result.seed for m in found.values() for results in m.values() for result in results})
    chosen = {
        (scenario, method + suffix(runs[0].settings["tuned"]["values"]))
        for scenario, methods in results.items()
        for method, runs in methods.items()
        if runs[0].settings.get("tuned")
    }
    remark = f"TAOA of candidates on seeds of their own ({troubles.seeds_text(seeds)}), which no other number is of."
    return Section(
        "Tuning", joined(element("p", remark, class_="remark"), tables.tuning_table(scores, chosen)), open=False
    )


def _settings(found: Folder) -> Section:
    all_settings = origin.settings_of(found.results)
    colours = _colours(found)
    parts = [Html(tables.settings_table("Shared by all runs", all_settings.shared))]
    if all_settings.scenarios:
        parts.append(tables.differing_table("Particular to scenarios", all_settings.scenarios))
    if all_settings.methods:
        named = {tables.label(name, colours): pairs for name, pairs in all_settings.methods.items()}
        parts.append(tables.differing_table("Particular to methods", named))
    if all_settings.cells:
        cells = {f"{method} on {scenario}": pairs for (scenario, method), pairs in all_settings.cells.items()}
        parts.append(tables.differing_table("Particular to methods on scenarios", cells))
    if all_settings.loose:
        parts.append(element("p", f"Differing from seed to seed: {', '.join(all_settings.loose)}.", class_="warning"))
    return Section("Settings", joined(*parts))


def _colours(found: Folder) -> dict[str, str]:
    """Those of the methods that have the same colour in the pictures of all scenarios."""
    seen: dict[str, set[str]] = {}
    for methods in found.results.values():
        for name, colour in tables.colours_of(list(methods)).items():
            seen.setdefault(name, set()).add(colour)
    return {name: colours.pop() for name, colours in seen.items() if len(colours) == 1}


def _origin(found: Folder, folder: Path, asked: ReportSettings) -> Section:
    versions = [(name, ", ".join(values)) for name, values in origin.versions_of(found.results).items()]
    versions.append(("this report", f"plastic_env {plastic_env.__version__}"))
    commands = Commands(asked.commands, ()) if asked.commands else commands_of(found, folder)
    remarks = [element("p", remark, class_="remark") for remark in commands.remarks]
    lines = element("pre", "\n".join(commands.lines))
    body = joined(
        tables.settings_table("Versions that made the results", versions),
        element("p", "What is finished is read, not repeated; elsewhere, these run it all again:"),
        lines,
        *remarks,
    )
    return Section("Versions and commands", body)


def _asset(name: str) -> Html:
    return Html((files("plastic_env.study.report") / name).read_text(encoding="utf-8"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)} scenarios"


def _extent(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
