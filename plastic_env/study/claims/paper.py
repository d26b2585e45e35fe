"""The nine claims of arXiv 2605.15435, with its figures, and how each is judged here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from plastic_env.study.claims import pictures
from plastic_env.study.claims.evidence import Evidence, acc, scores, taa, taoa
from plastic_env.study.claims.parities import by_run
from plastic_env.study.claims.protocol import BOOKKEEPING, RANKED, THREE, Cycles, Protocol, Shifts
from plastic_env.study.claims.verdicts import HARDLY, Finding, alike, difference, less, more
from plastic_env.study.measures import checkpoint_accuracy
from plastic_env.study.results import ByMethod, Result
from plastic_env.study.stats import (
    Interval,
    mean_interval,
    rank_correlation,
    rank_correlation_gap,
)
from plastic_env.study.text import interval_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure"], None]


@dataclass(frozen=True)
class Answer:
    """What was found of a claim.

    findings: with their verdicts. pictures: by name, functions that draw onto an empty figure.
    reading: how what the paper leaves open was read, and what another reading gives.
    """

    findings: list[Finding]
    pictures: dict[str, Draw] = field(default_factory=dict)
    reading: str = ""


@dataclass(frozen=True)
class Claim:
    """Something that can be asked. says: the claim. ask: runs what it needs, and judges."""

    says: str
    ask: Callable[[Protocol, Evidence], Answer]


def small_networks(protocol: Protocol, evidence: Evidence) -> Answer:
    """C1."""
    paper = "95.98 - 95.94 = +0.04 points (MNIST)", "95.98, 95.98, 95.94"
    return _tickets_alike(protocol.mlp, evidence, *paper, of=" of the weights")


def ends_higher(protocol: Protocol, evidence: Evidence) -> Answer:
    """C2."""
    part, findings, shown = protocol.images, [], dict[str, ByMethod]()
    for c in part.compactness:
        lives = evidence.cycles(part, _three(part, c))
        shown[f"{c:.0%} of the weights"] = lives
        reached = scores(lives, acc)
        findings += [
            difference(
                f"cycle ACC, grow - prune, {c:.0%}",
                *(reached["grow"], reached["prune"]),
                paper="CIFAR-100: +4.4 at 20 % to +4.1 points at 50 %; CIFAR-10: +0.5 to +1.1",
                rule=more,
            ),
            _told(f"cycle ACC of dense, grow, prune, {c:.0%}", reached, "CIFAR-100 at 20 %: 49.7, 52.3, 47.9"),
        ]
    return Answer(findings, {"cycles": partial(pictures.draw_checkpoints, shown)}, _annealing(part))


def trails_on_average(protocol: Protocol, evidence: Evidence) -> Answer:
    """C3."""
    part, findings = protocol.images, []
    for c in part.compactness:
        reached = scores(evidence.cycles(part, _three(part, c)), taa)
        findings += [
            difference(
                f"cycle TAA, prune - grow, {c:.0%}",
                *(reached["prune"], reached["grow"]),
                paper="CIFAR-100: +1.2 at 20 % to 0.0 points at 50 %",
                rule=more,
            ),
            _told(f"cycle TAA of dense, grow, prune, {c:.0%}", reached),
        ]
    return Answer(findings, reading="TAA is the mean over the ends of all cycles, the first included.")


def vanishes(protocol: Protocol, evidence: Evidence) -> Answer:
    """C4."""
    paper = "CIFAR-100: 0.0 at 20 % and at 50 %, p = .99 to .10", "CIFAR-100 at 20 %: grow 52.1, prune 52.1"
    reading = "A ticket has the mask, other initial weights, the same batches in the same order, and as many updates."
    return _tickets_alike(protocol.images, evidence, *paper, reading=reading)


def starved(protocol: Protocol, evidence: Evidence) -> Answer:
    """C5."""
    part = protocol.images
    findings, shown = [], {}
    for c in part.compactness:
        results = evidence.cycles(part, {"grow": part.edited("grow", c)})["grow"]
        shown[f"grow, {c:.0%}"] = results
        findings += parity_findings(by_run(results, part.updates), f", {c:.0%}")
    reading = (
        "Parities are of each cohort against its elders, averaged over cohorts and layers; in the picture, hollow "
        "marks are at birth, filled ones at the cycle's end, before the next edit."
    )
    return Answer(findings, {"geometry": partial(pictures.draw_geometry, shown, part.updates)}, reading)


def parity_findings(found: Mapping[str, np.ndarray], where: str) -> list[Finding]:
    """The three halves of C5, of log-parities [seeds] by name."""
    judged = (
        ("birth_activation", "activation log-parity at birth", "above 0", partial(more, least=0.0)),
        ("birth_gradient", "gradient log-parity at birth", "clearly below 0", less),
        ("end_gradient", "gradient log-parity at the cycle's end", "still below 0", less),
    )
    findings = []
    for name, what, paper, rule in judged:
        interval = mean_interval(found[name])
        findings.append(Finding(what + where, interval_text(interval, "+", digits=2), paper, "", rule(interval)))
    return findings


def predicts(protocol: Protocol, evidence: Evidence) -> Answer:
    """C6."""
    part = protocol.adam
    methods = {name: written for name, written in part.interventions().items() if name not in BOOKKEEPING}
    lives, tickets = evidence.cycles(part, methods), evidence.tickets(part, methods)
    early = {name: by_run(results, part.updates) for name, results in lives.items()}
    gradient, activation = (_stack(early, f"early_{kind}") for kind in ("gradient", "activation"))
    reached, retrained = (np.stack([*scores(of, score).values()], 1) for of, score in ((lives, taa), (tickets, acc)))
    with_taa, gap = rank_correlation(gradient, reached), rank_correlation_gap(gradient, reached, retrained)
    findings = [
        Finding("rho, early gradient parity and cycle TAA", _rho(with_taa), ".88", "", more(with_taa, least=0.0)),
        Finding("that less rho with ticket ACC", _rho(gap), "the ticket is not predicted", "", more(gap, least=0.0)),
        Finding("rho, early gradient parity and ticket ACC", _rho(rank_correlation(gradient, retrained))),
        Finding("rho, early activation parity and cycle TAA", _rho(rank_correlation(activation, reached)), ".83"),
    ]
    draw = partial(pictures.draw_prediction, list(methods), gradient, reached, retrained)
    reading = (
        f"{len(methods)} methods: Grow and the paper's six interventions on it, with Adam (its appendix speaks of "
        "Adam; plain SGD has no moments to transplant). Two-Speed lasts for 50 updates where a cycle has at most "
        "the 1,955 for which it lasts in the paper. Early: the first third of the cycle after a birth. Spearman's "
        "rho between means over seeds; its interval is over seeds, not over other choices of interventions."
    )
    return Answer(findings, {"prediction": draw}, reading)


def more_events(protocol: Protocol, evidence: Evidence) -> Answer:
    """C7."""
    part, few = protocol.images, protocol.events[0]
    c = part.compactness[0]
    cut = {k: part.cut(k) for k in protocol.events}
    lives = {k: evidence.cycles(one, {"grow": one.edited("grow", c)})["grow"] for k, one in cut.items()}
    by_events = {str(k): results for k, results in lives.items()}
    mean, last = scores(by_events, taa), scores(by_events, acc)
    common = scores(by_events, lambda result: _common_taa(result, few))
    findings = []
    for a, b in zip(protocol.events, protocol.events[1:], strict=False):
        what = f"cycle TAA, {a} less {b} cycles"
        findings.append(difference(what, mean[str(a)], mean[str(b)], paper="above 0: TAA falls", rule=more))
    ends = str(few), str(protocol.events[-1])
    findings += [
        difference(
            f"cycle ACC, {ends[0]} less {ends[1]} cycles",
            *(last[end] for end in ends),
            paper="about 0",
            rule=partial(alike, within=HARDLY),
        ),
        difference(
            f"TAA over the same {few} checkpoints, {ends[0]} less {ends[1]} cycles", *(common[end] for end in ends)
        ),
        _told(f"cycle TAA of {', '.join(by_events)} cycles", mean),
    ]
    reading = (
        "K cycles have K - 1 births in the same number of updates. TAA is the mean over each one's own checkpoints, "
        f"K of them, so that more cycles have earlier ones; the same {few} checkpoints for all are the other reading."
    )
    return Answer(findings, {"events": partial(pictures.draw_events, lives)}, reading)


def repeated_shifts(protocol: Protocol, evidence: Evidence) -> Answer:
    """C8."""
    findings, shown = [], {}
    for stream in protocol.streams:
        lives = evidence.stream(stream, *RANKED)
        shown[stream.title] = lives
        found = scores(lives, taoa)
        half = (found["grow"] + found["prune"]) / 2
        findings += [
            difference(
                f"{stream.title}: TAOA, prune - grow", found["prune"], found["grow"], paper="above 0", rule=more
            ),
            difference(
                f"{stream.title}: grow_rsl - grow", found["grow_rsl"], found["grow"], paper="above 0", rule=more
            ),
            difference(
                f"{stream.title}: grow_rsl less the middle between grow and prune",
                *(found["grow_rsl"], half),
                paper="above 0: RSL closes most of the gap",
                rule=more,
            ),
            _told(f"{stream.title}: TAOA of dense, grow, grow_rsl, prune", found, stream.paper),
        ]
    return Answer(findings, {"streams": partial(pictures.draw_streams, shown)}, _edits(protocol.streams[0]))


def class_incremental(protocol: Protocol, evidence: Evidence) -> Answer:
    """C9."""
    stream = protocol.classes
    lives = evidence.stream(stream, *RANKED)
    found, tested = scores(lives, taoa), scores(lives, acc)
    pairs = (("grow_rsl", "prune", "25.0 - 21.3 = +3.7"), ("prune", "dense", "21.3 - 15.8 = +5.5"))
    findings = [
        difference(f"TAOA, {a} - {b}", found[a], found[b], paper=f"{paper} points", rule=more) for a, b, paper in pairs
    ]
    findings += [difference(f"final test accuracy, {a} - {b}", tested[a], tested[b]) for a, b, _ in pairs]
    findings.append(_told("TAOA of dense, grow, grow_rsl, prune", found))
    reading = (
        "The paper's mean accuracy is read as TAOA; the accuracy on the test samples of all classes at the end is the "
        f"other reading. {_edits(stream)}"
    )
    return Answer(findings, {"streams": partial(pictures.draw_streams, {stream.title: lives})}, reading)


CLAIMS: dict[str, Claim] = {
    "C1": Claim("In small MLPs, Grow and Prune are tied.", small_networks),
    "C2": Claim("In a ConvNet, Grow ends higher than Prune while they edit.", ends_higher),
    "C3": Claim("But Prune is better on average over the trajectory.", trails_on_average),
    "C4": Claim("Retrained from scratch, the difference vanishes.", vanishes),
    "C5": Claim("Newborns are forward-active and backward-starved, and don't catch up in the cycle.", starved),
    "C6": Claim("Early gradient parity predicts how good the trajectory is, not how good the ticket is.", predicts),
    "C7": Claim("More growth events in the same horizon hurt TAA, hardly ACC.", more_events),
    "C8": Claim(
        "Under repeated shifts plain Grow is weak, Prune is strong, and Grow + RSL comes close.", repeated_shifts
    ),
    "C9": Claim("Where it has time, Grow + RSL wins: class-incremental learning.", class_incremental),
}


def _tickets_alike(part: Cycles, evidence: Evidence, gap: str, each: str, of: str = "", reading: str = "") -> Answer:
    """Whether the tickets of Grow and Prune are alike. gap, each: the paper's figures. of: what shares are of."""
    findings, shown = [], dict[str, tuple[ByMethod, ByMethod]]()
    for c in part.compactness:
        methods = _three(part, c)
        tickets = evidence.tickets(part, methods)
        shown[f"{c:.0%} of the weights"] = evidence.cycles(part, methods), tickets
        reached = scores(tickets, acc)
        what = f"ticket ACC, grow - prune, {c:.0%}{of}"
        findings += [
            difference(what, reached["grow"], reached["prune"], paper=gap, rule=alike),
            _told(f"ticket ACC of dense, grow, prune, {c:.0%}", reached, each),
        ]
    return Answer(findings, {"tickets": partial(pictures.draw_tickets, shown)}, reading)


def _three(part: Cycles, c: float) -> dict[str, str]:
    return {name: written for name, written in part.compared(c).items() if name in THREE}


def _told(what: str, found: Mapping[str, np.ndarray], paper: str = "") -> Finding:
    """Means of methods, not judged."""
    return Finding(what, ", ".join(f"{values.mean():.3f}" for values in found.values()), paper)


def _rho(interval: Interval) -> str:
    return interval_text(interval, "+", digits=2)


def _stack(found: Mapping[str, Mapping[str, np.ndarray]], name: str) -> np.ndarray:
    """[seeds, methods]."""
    return np.stack([parities[name] for parities in found.values()], 1)


def _common_taa(result: Result, few: int) -> float:
    """TAA over so many checkpoints at equal distances."""
    reached = checkpoint_accuracy(result)
    step = len(reached) // few
    return float(reached[step - 1 :: step].mean())


def _annealing(part: Cycles) -> str:
    if not part.annealed:
        return "The learning rate stays what it is."
    return (
        "The learning rate falls to 0 as a cosine in each cycle anew. Over all cycles at once, the other reading, what "
        "Prune rewinds late has no learning rate left to come back with."
    )


def _edits(stream: Shifts) -> str:
    return (
        "When edits fall on the streams, the paper doesn't say: here at shifts, in 20 events over the first half. "
        f"Growing and pruning end at {stream.compactness:.0%} of the weights."
    )
