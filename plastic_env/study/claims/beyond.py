"""Questions that the paper leaves open. They have answers, but no verdict: nothing was claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from plastic_env.study import measures
from plastic_env.study.claims import pictures
from plastic_env.study.claims.evidence import Evidence, acc, scores, taa, taoa
from plastic_env.study.claims.paper import Answer, Claim, parity_findings
from plastic_env.study.claims.parities import by_run
from plastic_env.study.claims.protocol import BOOKKEPT, COMPARED, INITS, OWN_AGES, PADDED, WEIGHED, Protocol
from plastic_env.study.claims.verdicts import Finding, difference
from plastic_env.study.results import ByMethod, Result
from plastic_env.study.stats import median_time

FIRST, LAST = slice(0, 1), slice(-1, None)  # of the cohorts
PARITIES = (0.5, 1.0)  # that newborns must reach to count as integrated


def rewinding(protocol: Protocol, evidence: Evidence) -> Answer:
    """How much of what Prune gains is the rewinding?"""
    findings, part = [], protocol.images
    for c in part.compactness:
        lives = evidence.cycles(part, part.compared(c))
        for name, score in (("ACC", acc), ("TAA", taa)):
            findings += _rewinds(f"cycle {name}, {c:.0%}", lives, score)
    for stream in protocol.streams:
        findings += _rewinds(f"{stream.title}, TAOA", evidence.stream(stream, *COMPARED), taoa)
    return Answer(findings)


def equal_compute(protocol: Protocol, evidence: Evidence) -> Answer:
    """What is left of the streams' ranking at equal multiply-accumulates?"""
    findings = []
    for stream in (*protocol.streams, protocol.classes):
        equal_updates = scores(evidence.stream(stream, *WEIGHED), taoa)
        equal_macs = scores(evidence.at_equal_compute(stream, *WEIGHED), taoa)
        for name in WEIGHED:
            if name == "grow":
                continue
            updates = difference("", equal_updates[name], equal_updates["grow"]).ours
            what = f"{stream.title}: TAOA, {name} - grow, at equal multiply-accumulates"
            found = difference(what, equal_macs[name], equal_macs["grow"])
            findings.append(replace(found, paper=f"{updates} at equal updates"))
    reading = (
        "Tasks are as many and the same; a method that costs more than Grow gets fewer updates for each, so that its "
        "whole life costs as much, to a few per cent (what is measured at decisions stays)."
    )
    return Answer(findings, reading=reading)


def scale_of_init(protocol: Protocol, evidence: Evidence) -> Answer:
    """Does C5 hang on the scale of the initial weights, early and late in training?"""
    findings: list[Finding] = []
    c = protocol.images.compactness[0]
    for init in INITS:
        part = replace(protocol.images, init=init)
        results = evidence.cycles(part, {"grow": part.edited("grow", c)})["grow"]
        for which, when in ((FIRST, "first"), (LAST, "last")):
            found = parity_findings(by_run(results, part.updates, which), f", init {init}, {when} cohort")
            findings += [replace(finding, paper="", verdict=None) for finding in found]
        reached = np.array([acc(result) for result in results])
        findings.append(Finding(f"cycle ACC, init {init}", f"{reached.mean():.3f}"))
    reading = "torch: PyTorch's default, uniform within 1 / sqrt(fan-in); kaiming: with ReLU's gain, 2.4 times as wide."
    return Answer(findings, reading=reading)


def bookkeeping(protocol: Protocol, evidence: Evidence) -> Answer:
    """How much of the newborns' trouble is the optimizer's bookkeeping?"""
    part = protocol.adam
    everything = part.interventions()
    methods = {name: everything[name] for name in BOOKKEPT}
    lives = evidence.cycles(part, methods)
    found = {name: by_run(results, part.updates) for name, results in lives.items()}
    findings = []
    for other in (PADDED, "moment_transplant"):
        for parity, when in (("early_gradient", "early"), ("end_gradient", "at the cycle's end")):
            what = f"gradient log-parity {when}, {other} less own ages"
            findings.append(difference(what, found[other][parity], found[OWN_AGES][parity]))
        for score, of in (("TAA", taa), ("ACC", acc)):
            reached = scores(lives, of)
            findings.append(difference(f"cycle {score}, {other} less own ages", reached[other], reached[OWN_AGES]))
    reading = (
        "Own ages: newborns' empty Adam moments are corrected by their own age. Padded: by the layer's, the common "
        "mistake. Moment transplant: they get a donor's moments."
    )
    return Answer(findings, reading=reading)


def waiting(protocol: Protocol, evidence: Evidence) -> Answer:
    """How long do newborns take to integrate, by intervention?"""
    part, findings = protocol.adam, []
    lives = evidence.cycles(part, part.interventions())
    for name, results in lives.items():
        for parity in PARITIES:
            found = measures.times_to_integrate(results, parity)
            median, low, high = (_updates(end) for end in median_time(found.time, found.observed))
            share = f"{found.observed.sum()} of {len(found.time)} cohorts reach it"
            what = f"{name}: median updates until gradient parity {parity:g}"
            findings.append(Finding(what, f"{median} [{low}, {high}]", test=share))
    reading = (
        "Kaplan-Meier estimates over cohorts and layers; those that never reached parity are censored. The picture "
        f"shows parity {PARITIES[-1]:g}. It is the first passage that counts: newborns may fall behind again."
    )
    return Answer(findings, {"survival": partial(pictures.draw_waiting, lives, PARITIES[-1])}, reading)


QUESTIONS: dict[str, Claim] = {
    "rewind": Claim("How much of what Prune gains is the rewinding?", rewinding),
    "compute": Claim("What is left of the ranking on streams at equal multiply-accumulates?", equal_compute),
    "init": Claim("Does C5 hang on the scale of the initial weights?", scale_of_init),
    "state": Claim("How much of the newborns' trouble is the optimizer's bookkeeping?", bookkeeping),
    "time": Claim("How long do newborns take to integrate, by intervention?", waiting),
}


def _updates(end: float) -> str:
    return "never" if np.isinf(end) else f"{end:.0f}"


def _rewinds(where: str, lives: ByMethod, score: Callable[[Result], float]) -> list[Finding]:
    found = scores(lives, score)
    pairs = (("prune", "dense"), ("prune", "prune_no_rewind"), ("dense_rewind", "dense"), ("prune", "dense_rewind"))
    return [difference(f"{where}: {a} - {b}", found[a], found[b]) for a, b in pairs]
