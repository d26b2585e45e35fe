"""Verdicts: rules that were fixed before anything was run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from plastic_env.study.stats import Interval, paired_difference, welch_test
from plastic_env.study.text import interval_text, p_text

Rule = Callable[[Interval], "Verdict"]
LEAST = 0.0025  # accuracy: an effect below a quarter of a point is none
ALIKE = 0.01  # accuracy: means less than a point apart are alike
HARDLY = 0.02  # accuracy: what is said to change hardly may change by less than this


class Verdict(Enum):
    """What a finding says of what was claimed."""

    REPRODUCED = "reproduced"
    NOT = "not reproduced"
    UNDECIDED = "undecided at this size"


@dataclass(frozen=True)
class Finding:
    """One number that a claim is judged by.

    what: what is measured. paper: the paper's own figure, "" if it gives none. ours: with its interval. test: "" if
    none was made. verdict: None where it is told only, and not judged.
    """

    what: str
    ours: str
    paper: str = ""
    test: str = ""
    verdict: Verdict | None = None


def more(found: Interval, least: float = LEAST) -> Verdict:
    """Whether something claimed to be above zero is: reproduced if its whole interval is, not reproduced if none of it
    reaches `least`, the smallest value that counts."""
    if found.low > 0:
        return Verdict.REPRODUCED
    return Verdict.NOT if found.high < least else Verdict.UNDECIDED


def less(found: Interval) -> Verdict:
    """Whether something claimed to be below zero is."""
    return more(Interval(-found.mean, -found.high, -found.low), least=0.0)


def alike(found: Interval, within: float = ALIKE) -> Verdict:
    """Whether a difference claimed to be none is: reproduced if its whole interval lies within `within` of zero, not
    reproduced if it excludes zero and its mean lies further away."""
    if -within < found.low and found.high < within:
        return Verdict.REPRODUCED
    apart = (found.low > 0 or found.high < 0) and abs(found.mean) >= within
    return Verdict.NOT if apart else Verdict.UNDECIDED


def overall(findings: Sequence[Finding]) -> Verdict | None:
    """The verdict on a claim: reproduced if all that is judged is, not reproduced if anything is not."""
    verdicts = [finding.verdict for finding in findings if finding.verdict is not None]
    if not verdicts:
        return None
    for worst in (Verdict.NOT, Verdict.UNDECIDED):
        if worst in verdicts:
            return worst
    return Verdict.REPRODUCED


def difference(what: str, a: np.ndarray, b: np.ndarray, *, paper: str = "", rule: Rule | None = None) -> Finding:
    """The paired difference a - b of two methods' scores [seeds], judged by a rule, if there is one."""
    gap = paired_difference(a, b)
    return Finding(what, interval_text(gap, "+"), paper, _tested(welch_test(a, b).p), rule(gap) if rule else None)


def _tested(p: float) -> str:
    if np.isnan(p):
        return ""
    said = p_text(p)
    return f"p {said}" if said.startswith("<") else f"p = {said}"
