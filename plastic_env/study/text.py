"""Numbers and tables as text: what the command line, pages and claims write alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plastic_env.study.stats import Interval

NONE = "-"  # where there is no number


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


def p_text(p: float, none: str = NONE) -> str:
    """A p-value: 0.012 or < .001. none: what is said if there isn't one."""
    if math.isnan(p):
        return none
    return f"{p:.3f}" if p >= 0.001 else "< .001"
