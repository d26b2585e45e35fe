"""Tables of the page: numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plastic_env.study.plots import COLOURS
from plastic_env.study.report.budgets import View
from plastic_env.study.report.comparing import Compared
from plastic_env.study.report.markup import Cell, Column, Html, element, joined, table
from plastic_env.study.report.summary import Details, Summary
from plastic_env.study.stats import Interval
from plastic_env.study.text import NONE, p_text

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


@dataclass(frozen=True)
class Row:
    """One method in the summary table. summary, details: None if every run failed. runs, failed: how many."""

    summary: Summary | None
    details: Details | None
    runs: int
    failed: int


def summary_table(rows: Mapping[str, Row], colours: Mapping[str, str]) -> Html:
    """All numbers of all methods on one scenario."""
    known = {name: row.summary for name, row in rows.items() if row.summary is not None}
    tested = any(summary.test is not None for summary in known.values())
    columns = [column for column in _SUMMARY if tested or column.name != "test"]
    best = max((summary.taoa.mean for summary in known.values()), default=math.nan)
    dense = known.get("dense")
    body = []
    for name, row in rows.items():
        cells = {"method": Cell(label(name, colours)), "runs": _runs(row)}
        if row.summary is not None and row.details is not None:
            cells |= _numbers(row.summary, row.details, dense, best)
        body.append([cells.get(column.name, Cell(NONE, value=math.nan)) for column in columns])
    return table("Mean over seeds; in brackets, 95 % bootstrap intervals over seeds", columns, body)


def comparison_table(score: str, found: Mapping[str, Compared], reference: str, colours: Mapping[str, str]) -> Html:
    """Differences in a score from the reference, and tests."""
    body = [
        [
            Cell(label(name, colours)),
            interval(one.difference, "+.3f"),
            interval(one.improvement, ".2f"),
            p_value(one.welch),
            p_value(one.corrected_welch),
            p_value(one.sign_flip),
            p_value(one.corrected_sign_flip),
            count(one.pairs),
        ]
        for name, one in found.items()
    ]
    return table(joined(f"{score} against ", label(reference, colours)), _COMPARISON, body)


def budget_table(
    views: Mapping[str, View | None], parameters: Mapping[str, float | None], colours: Mapping[str, str]
) -> Html:
    """Accuracy at equal budgets.

    views: by the name of what is spent. parameters: mean live ones.
    """
    columns = [Column("method", numeric=False)]
    for name, view in views.items():
        meaning = "not recorded" if view is None else f"mean online accuracy over what {si(view.budget)} {name} pay for"
        columns.append(Column(f"at equal {name}", meaning))
    columns += [Column("mean live parameters", "averaged over updates"), Column("not beaten at", _FRONT, numeric=False)]
    bests = {name: max(one.mean for one in view.accuracy.values()) for name, view in views.items() if view is not None}
    body = []
    for method, size in parameters.items():
        cells = [Cell(label(method, colours))]
        for name, view in views.items():
            if view is None:
                cells.append(Cell(NONE, value=math.nan))
            else:
                one = view.accuracy[method]
                cells.append(interval(one, best=one.mean == bests[name]))
        front = [
            name for name, view in views.items() if view is not None and method in view.front and name != "updates"
        ]
        cells += [Cell(NONE, value=math.nan) if size is None else number(size), Cell(", ".join(front) or NONE)]
        body.append(cells)
    budgets = [f"{si(view.budget)} {name}" for name, view in views.items() if view is not None]
    return table(f"Mean online accuracy within {', '.join(budgets)}: what every run spends", columns, body)


def tuning_table(scores: Mapping[tuple[str, str], Interval], chosen: Collection[tuple[str, str]]) -> Html:
    """TAOA by scenario and candidate."""
    columns = [Column("candidate", numeric=False), Column("scenario", numeric=False), Column("TAOA")]
    body = [
        [Cell(method), Cell(scenario), interval(score, best=(scenario, method) in chosen)]
        for (scenario, method), score in scores.items()
    ]
    return table("Candidates; those that were chosen in bold", columns, body)


def settings_table(caption: str, pairs: Sequence[tuple[str, str]]) -> Html:
    """Names and values."""
    columns = [Column("setting", numeric=False), Column("value", numeric=False)]
    return table(caption, columns, [[Cell(element("code", name)), Cell(value)] for name, value in pairs])


def differing_table(caption: str, places: Mapping[Any, Sequence[tuple[str, str]]]) -> Html:
    """What is particular to each scenario or method."""
    columns = [Column("of", numeric=False), Column("settings", numeric=False)]
    body = []
    for place, pairs in places.items():
        items = [element("div", element("code", name), " ", value) for name, value in pairs]
        body.append([Cell(place), Cell(joined(*items))])
    return table(caption, columns, body)


def label(name: str, colours: Mapping[str, str]) -> Html:
    """A method's name, with its colour beside it."""
    swatch = element("i", style=f"background:{colours[name]}", class_="swatch") if name in colours else None
    return element("span", swatch, name, class_="method")


def colours_of(methods: Sequence[str]) -> dict[str, str]:
    """Each method's colour in pictures that are given all of them in this order."""
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(methods)}


def interval(found: Interval, form: str = ".3f", *, best: bool = False) -> Cell:
    """A mean, and below it its interval."""
    known = math.isfinite(found.low)
    fine = f"[{found.low:{form}}, {found.high:{form}}]" if known else "[one seed]"
    return Cell(f"{found.mean:{form}}", fine, found.mean, best)


def number(value: float, form: str = "") -> Cell:
    """A number, with a prefix such as G for 1e9 unless a format is given."""
    if math.isnan(value):
        return Cell(NONE, value=value)
    return Cell(format(value, form) if form else si(value), value=value)


def count(value: int) -> Cell:
    """A whole number."""
    return Cell(str(value), value=value)


def p_value(p: float) -> Cell:
    """A p-value; small ones stand out."""
    return Cell(p_text(p), value=p, best=p < 0.05)


def si(value: float) -> str:
    """Three digits and a prefix: 2.98 G for 2.98e9."""
    power = 0 if value < 1000 else min(int(math.log10(value) // 3), len(_PREFIXES) - 1)
    scaled = value / 1000**power
    digits = f"{scaled:.3g}" if scaled < 999.5 else f"{scaled:.0f}"
    return f"{digits} {_PREFIXES[power]}".rstrip()


def _runs(row: Row) -> Cell:
    bad = {"diverged": row.summary.diverged if row.summary else 0, "failed": row.failed}
    return Cell(str(row.runs), ", ".join(f"{number} {what}" for what, number in bad.items() if number), row.runs)


def _numbers(summary: Summary, more: Details, dense: Summary | None, best: float) -> dict[str, Cell]:
    relative = math.nan if dense is None else summary.macs / dense.macs
    cells = {
        "TAOA": interval(summary.taoa, best=summary.taoa.mean == best),
        "IQM": interval(more.iqm),
        "first fifth": interval(summary.first_fifth),
        "last fifth": interval(summary.last_fifth),
        "loss": interval(more.loss, "+.3f"),
        "width": number(summary.final_width, ".1f"),
        "dormant": number(summary.dormant, ".2f"),
        "MACs": number(summary.macs),
        "x dense": number(relative, ".2f"),
    }
    if more.slope is not None:
        cells["slope \N{PER MILLE SIGN}"] = interval(Interval(*(1000 * end for end in more.slope)), "+.2f")
    if summary.test is not None:
        cells["test"] = interval(summary.test)
    return cells


_RUNS = (
    "those with a result, one per seed. Runs diverge when their loss or weights cease to be finite, and score 0 from "
    "there on; what failed has no result. Both are listed below"
)
_SUMMARY = (
    Column("method", numeric=False),
    Column("runs", _RUNS),
    Column("TAOA", "mean online accuracy over the tasks that are scored"),
    Column("IQM", "interquartile mean of TAOA over seeds"),
    Column("first fifth", "online accuracy over the first fifth of all updates"),
    Column("last fifth", "online accuracy over the last fifth of all updates"),
    Column("loss", "loss of plasticity: first fifth less last fifth"),
    Column("slope \N{PER MILLE SIGN}", "least-squares slope of average online accuracy, in thousandths per task"),
    Column("test", "accuracy on the tests at the end of the stream"),
    Column("width", "live units per editable layer at the end"),
    Column("dormant", "fraction of live units with a ReDo score of at most .025 at the end"),
    Column("MACs", "multiply-accumulates of a life: training, probes and edits, at live width"),
    Column("x dense", "MACs over those of dense"),
)
_COMPARISON = (
    Column("method", numeric=False),
    Column("difference", "the method's score less the reference's, paired by seed: mean and 95 % bootstrap interval"),
    Column("P(improvement)", "probability that a run of the method has the higher score; .5: even"),
    Column("Welch p", "Welch's t-test of the means, two-sided"),
    Column("Holm", "the same, corrected by Holm's rule over the methods of this table"),
    Column("sign-flip p", "paired permutation test of the mean difference, two-sided"),
    Column("Holm", "the same, corrected by Holm's rule over the methods of this table"),
    Column("pairs", "seeds that both have"),
)
_FRONT = "costs for which no method is cheaper and as accurate, or more accurate for as much (whole lives)"
