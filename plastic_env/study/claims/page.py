"""Claims, findings and verdicts as a Markdown page, with its pictures beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from plastic_env.errors import AgentError, InvalidData, InvalidSetting, look_up
from plastic_env.files import write_atomically
from plastic_env.study.claims.beyond import QUESTIONS
from plastic_env.study.claims.evidence import Evidence
from plastic_env.study.claims.paper import CLAIMS, Answer, Claim, Draw
from plastic_env.study.claims.protocol import Cycles, Protocol
from plastic_env.study.claims.verdicts import ALIKE, HARDLY, LEAST, Finding, overall
from plastic_env.study.results import environment

ALL: dict[str, Claim] = {**CLAIMS, **QUESTIONS}
RULES = (
    "Verdicts follow from rules that are part of the program. A difference that is claimed to be there is *reproduced* "
    "if its whole 95 % bootstrap interval over seeds is on the claimed side of zero, *not reproduced* if none of it "
    f"reaches {100 * LEAST:g} points of accuracy (of parities and correlations: zero). A difference that is claimed "
    f"not to be there is *reproduced* if its interval lies within {100 * ALIKE:g} point ({100 * HARDLY:g} for the ACC "
    "of C7, which is claimed to change hardly), *not reproduced* if it excludes zero and its mean lies further out. "
    "Everything else is *undecided at this size*. A claim is reproduced if all its judged findings are, and not "
    "reproduced if one of them is not. Tests are Welch's, as in the paper; p-values are not corrected for their number."
)


class Judged(NamedTuple):
    """A claim, and what was found of it.

    answer: None where nothing could be found. why: that is so.
    """

    claim: Claim
    answer: Answer | None
    why: str = ""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.answer is None:
            return "not judged"
        found = overall(self.answer.findings)
        return "-" if found is None else found.value


def chosen(names: Sequence[str]) -> list[str]:
    """The claims and questions that are meant: all, by name, or whatever case they are written in.

    Raises:
        UnknownName: no such claim.
    """
    known = {name.lower(): name for name in ALL}
    if not names or "all" in [name.lower() for name in names]:
        return list(ALL)
    for name in names:
        look_up({**dict.fromkeys(ALL), **known, "all": None}, name, "claim")
    return list(dict.fromkeys(known[name.lower()] for name in names))


def ask(names: Sequence[str], protocol: Protocol, evidence: Evidence) -> dict[str, Judged]:
    """Run and judge; a claim that can't be judged doesn't keep the others from it."""
    found = {}
    for name in names:
        try:
            found[name] = Judged(ALL[name], ALL[name].ask(protocol, evidence))
        except (AgentError, InvalidData, InvalidSetting) as error:  # such as data that aren't there
            found[name] = Judged(ALL[name], None, str(error))
    return found


def write_page(path: Path, found: Mapping[str, Judged], protocol: Protocol, command: str, evidence: Evidence) -> str:
    """Write the pictures and the page, and return its text.

    path: of the page; pictures lie beside it and begin with its name.
    """
    parts = [_head(found, protocol, command)]
    for name, judged in found.items():
        parts.append(f"## {name}: {judged.claim.says}\n")
        if judged.answer is None:
            parts.append(f"Not judged: {judged.why}\n")
            continue
        parts += [_table(judged.answer.findings, name in CLAIMS), *_verdict(judged)]
        for picture, draw in judged.answer.pictures.items():
            file = path.with_name(f"{path.stem}-{name}-{picture}.png")
            _save(file, draw)
            parts.append(f"![{name}: {picture}]({file.name})\n")
    if evidence.failures:
        parts.append("## Runs that failed\n")
        parts += [f"* {why}" for why in evidence.failures]
    text = "\n".join(parts)
    write_atomically(path, lambda file: file.write_text(text))
    return text


def _head(found: Mapping[str, Judged], protocol: Protocol, command: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment().items())
    lines = [
        "# The paper, claim by claim\n",
        "[arXiv 2605.15435](https://arxiv.org/abs/2605.15435), and questions that it leaves open, with "
        f"{protocol.says}. Written by\n",
        f"```\n{command}\n```\n",
        f"on {time.strftime('%Y-%m-%d')}, with {versions}.\n",
        f"{_setting(protocol)}\n",
        "| | claim or question | verdict |\n| --- | --- | --- |",
        *(f"| {name} | {judged.claim.says} | {judged.verdict} |" for name, judged in found.items()),
        f"\n{RULES}\n",
    ]
    return "\n".join(lines)


def _setting(protocol: Protocol) -> str:
    def told(part: Cycles) -> str:
        return (
            f"`{part.data}`, layers {', '.join(map(str, part.hidden))}, {part.cycles} cycles of {part.updates:,} "
            f"updates with batches of {part.batch_size}, {part.optimizer} at {part.lr:g}, {part.seeds} seeds"
        )

    streams = "; ".join(
        f"{part.title} (`{part.scenario}`{''.join(f', {name} {value}' for name, value in part.changes)}, "
        f"{part.seeds} seeds)"
        for part in (*protocol.streams, protocol.classes)
    )
    return (
        f"C1: {told(protocol.mlp)}. C2 to C5, C7: {told(protocol.images)}. C6: the same with "
        f"{protocol.adam.optimizer} at {protocol.adam.lr:g}. C8, C9: {streams}. Differences are paired by seed."
    )


def _table(findings: Sequence[Finding], judged: bool) -> str:
    """Columns that say nothing are left out. judged: whether there is a claim to compare with."""
    heads = ("what", "the paper" if judged else "beside it", "here", "test", "verdict")
    rows = [(f.what, f.paper, f.ours, f.test, "" if f.verdict is None else f.verdict.value) for f in findings]
    kept = [at for at, column in enumerate(zip(*rows, strict=True)) if any(column)]
    lines = [f"| {' | '.join(row[at] for at in kept)} |" for row in (heads, ("---",) * len(heads), *rows)]
    return "\n".join(lines) + "\n"


def _verdict(judged: Judged) -> list[str]:
    assert judged.answer is not None
    found = [f"**Verdict: {judged.verdict}.**\n"] if judged.verdict != "-" else []
    return found + ([f"{judged.answer.reading}\n"] if judged.answer.reading else [])


def _save(path: Path, draw: Draw) -> None:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    draw(figure)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
