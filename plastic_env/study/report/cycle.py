"""Cycle against ticket: how accurate networks are while they are edited, and once they are trained anew."""

from __future__ import annotations

import math
from collections.abc import Mapping

from plastic_env.errors import InvalidSetting
from plastic_env.study import measures, plots
from plastic_env.study.report import pictures, tables
from plastic_env.study.report.comparing import compare_scores, reference_among
from plastic_env.study.report.markup import Cell, Column, Html, Section, element, joined, table
from plastic_env.study.results import ByMethod
from plastic_env.study.stats import Interval, mean_interval, paired_difference
from plastic_env.study.ticket import WEIGHTS, Ticketed, beside, compared, retrained_methods

NOBODY = plots.CycleTicket(Interval(*(math.nan,) * 3), Interval(*(math.nan,) * 3))


def cycle_sections(
    methods: ByMethod, tickets: ByMethod, reference: str | None, colours: Mapping[str, str]
) -> list[Section]:
    """A section for each kind of tickets that there is."""
    found = []
    for kind in WEIGHTS:
        own = {method: tickets[name] for method, name in retrained_methods(tickets, kind).items()}
        if own:
            found.append(Section(f"Cycle and ticket, {kind} weights", _compared(methods, own, reference, colours)))
    return found


def _compared(methods: ByMethod, tickets: ByMethod, reference: str | None, colours: Mapping[str, str]) -> Html:
    both = beside(methods, tickets)
    alone = [name for name in tickets if name not in both]
    remark = element("p", f"Tickets without their runs: {', '.join(alone)}.", class_="remark") if alone else None
    try:
        found = {name: compared(*pair) for name, pair in both.items()}
    except InvalidSetting as error:
        return joined(element("p", str(error)), remark)
    if not found:
        return joined(remark)
    drawn = {name: measures.cycle_ticket(*both[name]) if name in both else NOBODY for name in methods}
    figure = pictures.figure(
        plots.draw_cycle_ticket(drawn),
        "ACC of a method's own networks against that of their tickets: the masks that they end with, trained from "
        "scratch. Above the line, the network was worth more than what the method made of it.",
    )
    return joined(figure, _table(found, colours), _tests(found, reference, colours), remark)


def _table(found: Mapping[str, Ticketed], colours: Mapping[str, str]) -> Html:
    body = []
    for name, one in found.items():
        cells = [Cell(tables.label(name, colours)), tables.number(float(one.width.mean()), ".1f")]
        for cycle, ticket in ((one.cycle_acc, one.ticket_acc), (one.cycle_taa, one.ticket_taa)):
            cells += [tables.interval(mean_interval(cycle)), tables.interval(mean_interval(ticket))]
            cells.append(tables.interval(paired_difference(ticket, cycle), "+.3f"))
        body.append([*cells, tables.count(len(one.seeds)), tables.count(sum(one.diverged))])
    return table("Test accuracy; in brackets, 95 % bootstrap intervals over seeds", _COLUMNS, body)


def _tests(found: Mapping[str, Ticketed], reference: str | None, colours: Mapping[str, str]) -> Html:
    """ACC of each method against a reference: of what was edited, and of tickets."""
    base = reference_among(list(found), reference)
    parts = []
    for side, title in (("cycle", "ACC while editing"), ("ticket", "ACC of tickets")):
        scores = {
            name: dict(zip(one.seeds.tolist(), getattr(one, f"{side}_acc").tolist(), strict=True))
            for name, one in found.items()
        }
        against = compare_scores(scores, base)
        if against:
            parts.append(tables.comparison_table(title, against, base, colours))
    return joined(*parts)


_COLUMNS = (
    Column("method", numeric=False),
    Column("width", "live units per editable layer of the mask"),
    Column("cycle ACC", "test accuracy at the last checkpoint (task end), while editing"),
    Column("ticket ACC", "the same of the mask, trained from scratch on the same stream"),
    Column("ticket - cycle", "ACC of tickets less that of their runs, paired by seed"),
    Column("cycle TAA", "mean over all checkpoints, while editing"),
    Column("ticket TAA", "the same of the mask, trained from scratch"),
    Column("ticket - cycle", "TAA of tickets less that of their runs, paired by seed"),
    Column("pairs", "runs that have a ticket"),
    Column("diverged", "learners and tickets that did; they count 0 from then on"),
)
