"""The summary of a study: numbers per method, as a table or as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plastic_env.study.results import Result
from plastic_env.study.stats import Interval, fifths, mean_interval


@dataclass(frozen=True)
class Summary:
    """One method over all seeds.

    taoa: mean online accuracy over the tasks that are scored. first_fifth, last_fifth: over the first and the last
        fifth of all updates.
    test: mean accuracy over the tests at the end of the stream, or None unless every run was tested there.
    final_width: live units per editable layer at the end, averaged over layers and seeds.
    dormant: fraction of live units that are dormant by ReDo's score at the end, averaged over the seeds that did
        not diverge; NaN if all did.
    macs: multiply-accumulates of one learner's life, averaged over seeds. diverged: how many learners did.
    """

    taoa: Interval
    test: Interval | None
    first_fifth: Interval
    last_fifth: Interval
    final_width: float
    dormant: float
    macs: float
    diverged: int


def summarise(results: Sequence[Result]) -> Summary:
    """Summarise one method's runs."""
    accuracy = np.stack([result.online_accuracy() for result in results])  # [seeds, updates]
    first, last = fifths(accuracy)
    live = np.stack([result.last("live") for result in results])  # [seeds, layers]
    dormant = np.stack([result.last("dormant") for result in results])
    tests = np.array([result.test_accuracy() for result in results])
    sound = np.array([not result.last("diverged") for result in results])  # nothing is measured of the others
    shares = ((dormant * live).sum(1) / live.sum(1))[sound]
    return Summary(
        taoa=mean_interval(np.array([result.taoa() for result in results])),
        test=None if np.isnan(tests).any() else mean_interval(tests),
        first_fifth=mean_interval(first),
        last_fifth=mean_interval(last),
        final_width=float(live.mean()),
        dormant=float(shares.mean()) if shares.size else float("nan"),
        macs=float(np.mean([sum(result.rows["macs"]) for result in results])),
        diverged=sum(bool(result.last("diverged")) for result in results),
    )


def as_json(scenario: str, summaries: Mapping[str, Summary]) -> dict[str, Any]:
    """The summaries as JSON values; an interval's missing ends are null."""
    return {"scenario": scenario, "methods": {name: _method_json(summary) for name, summary in summaries.items()}}


def as_table(summaries: Mapping[str, Summary]) -> str:
    """The summaries as a text table; compute is relative to `dense` where that is among them."""
    dense = summaries.get("dense")
    tested = any(summary.test is not None for summary in summaries.values())
    test = ["test accuracy at the end"] if tested else []
    rows = [
        ("method", "TAOA [95 % interval]", *test, "first fifth", "last fifth", "width", "dormant", "MACs", "x dense")
    ]
    for name, summary in summaries.items():
        label = f"{name} ({summary.diverged} diverged)" if summary.diverged else name
        relative = "-" if dense is None else f"{summary.macs / dense.macs:.2f}"
        rows.append(
            (
                label,
                interval_text(summary.taoa),
                *(["-" if summary.test is None else interval_text(summary.test)] if tested else []),
                f"{summary.first_fifth.mean:.3f}",
                f"{summary.last_fifth.mean:.3f}",
                f"{summary.final_width:.1f}",
                f"{summary.dormant:.2f}",
                f"{summary.macs:.3g}",
                relative,
            )
        )
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of text, the first of them the heads, as a table; the first columns, `left` many, begin on the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def interval_text(interval: Interval, sign: str = "", digits: int = 3) -> str:
    """A mean with its interval in brackets; sign: "+" for differences, which then always have one."""
    form = f"{sign}.{digits}f"
    if math.isnan(interval.low):
        return f"{interval.mean:{form}} [one seed]"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _method_json(summary: Summary) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in vars(summary).items():
        if value is None:
            values[name] = None
            continue
        ends = [
            None if math.isnan(number) else number for number in (value if isinstance(value, Interval) else [value])
        ]
        values[name] = ends if isinstance(value, Interval) else ends[0]
    return values
