"""Summaries as a text table, and as JSON: what `plastic-env compare` prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from plastic_env.study.report.summary import Summary
from plastic_env.study.stats import Interval
from plastic_env.study.text import aligned, interval_text


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
