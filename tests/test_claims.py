"""The paper's claims: rules of judgement by hand, and all claims at a tiny size, from runs to the page."""

import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from plastic_env.cli import main
from plastic_env.cli.reproduce import _without_folder
from plastic_env.errors import InvalidSetting, UnknownName
from plastic_env.learner.allocation import allocate
from plastic_env.learner.cohorts import CohortHistory, CohortPoint
from plastic_env.study.claims import bill, page
from plastic_env.study.claims.evidence import Evidence, scores, taoa
from plastic_env.study.claims.page import ALL
from plastic_env.study.claims.paper import CLAIMS
from plastic_env.study.claims.parities import parities
from plastic_env.study.claims.protocol import CONVNET, SIZES, Cycles, Protocol
from plastic_env.study.claims.verdicts import Finding, Verdict, alike, difference, less, more, overall
from plastic_env.study.runner import Running
from plastic_env.study.stats import Interval

YES, NO, MAYBE = Verdict.REPRODUCED, Verdict.NOT, Verdict.UNDECIDED


def tiny(protocol: Protocol) -> Protocol:
    """The same claims with next to nothing to run."""
    cycles = replace(protocol.mlp, updates=6, seeds=2, hidden=(20, 20), looks=3, compactness=(0.4,))
    return replace(
        protocol,
        mlp=cycles,
        images=cycles,
        adam=replace(cycles, optimizer="adam", lr=0.003),
        events=(2, 3, 6),
        streams=tuple(
            replace(s, seeds=2, hidden=(20, 20), compactness=0.4, changes=(("tasks", 6), ("updates", 4)))
            for s in protocol.streams
        ),
        classes=replace(
            protocol.classes,
            seeds=2,
            hidden=(20, 20),
            compactness=0.4,
            changes=(("updates", 4), ("tests", "past")),
        ),
    )


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    protocol, evidence = tiny(SIZES["small"]), Evidence(folder, Running(show_progress=False))
    found = page.ask(list(ALL), protocol, evidence)
    return folder, protocol, evidence, found


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.01, 0.001, 0.02), YES), ((0.0, -0.01, 0.01), MAYBE), ((-0.01, -0.02, 0.001), NO), ((0.01,) * 3, YES)],
)
def test_more(interval, verdict):
    assert more(Interval(*interval)) is verdict


def test_less_is_more_the_other_way_round():
    assert less(Interval(-0.5, -0.7, -0.3)) is YES
    assert less(Interval(0.5, 0.3, 0.7)) is NO
    assert less(Interval(0.0, -0.1, 0.1)) is MAYBE


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.0, -0.005, 0.009), YES),
        ((0.004, 0.001, 0.007), YES),  # there, but too small to count
        ((0.02, 0.004, 0.03), NO),
        ((-0.02, -0.03, -0.004), NO),
        ((0.008, 0.001, 0.02), MAYBE),
        ((0.0, -0.02, 0.02), MAYBE),
        ((0.0, np.nan, np.nan), MAYBE),  # one seed
    ],
)
def test_alike(interval, verdict):
    assert alike(Interval(*interval)) is verdict


def test_one_finding_that_is_not_reproduced_decides():
    def findings(*verdicts):
        return [Finding("", "", verdict=verdict) for verdict in verdicts]

    assert overall(findings(YES, None, YES)) is YES
    assert overall(findings(YES, MAYBE)) is MAYBE
    assert overall(findings(YES, MAYBE, NO)) is NO
    assert overall(findings(None)) is None


def test_a_difference_is_paired_and_tested():
    a, b = np.array([0.5, 0.7, 0.9]), np.array([0.4, 0.6, 0.8])
    found = difference("a - b", a, b, rule=more)
    assert found.ours == "+0.100 [+0.100, +0.100]"  # each pair differs by that
    assert found.test == "p = 0.573"  # scipy.stats.ttest_ind(a, b, equal_var=False)
    assert found.verdict is YES


def test_edits_fall_between_cycles_and_end_at_the_budget(everything):
    _, protocol, evidence, _ = everything
    part = protocol.images
    lives = evidence.cycles(part, part.compared(0.4))
    final = allocate(64, (20, 20), 0.4)
    for name, results in lives.items():
        live, starts = np.array(results[0].rows["live"]), np.array(results[0].rows["start"])
        changed = starts[1:][(np.diff(live, axis=0) != 0).any(1)]
        if name in ("grow", "prune", "prune_no_rewind"):
            assert tuple(live[-1]) == final
            assert list(changed) == [6, 12, 18, 24]
        else:
            assert len(changed) == 0
        rewound = starts[np.array(results[0].rows["rewind"]) == "initial"]
        assert list(rewound) == ([6, 12, 18, 24] if name in ("prune", "dense_rewind") else [])


def test_the_papers_convnet_gets_the_papers_widths():
    part = Cycles("cifar10", CONVNET, 300, 64, 5)
    assert np.allclose(part.target(0.2), np.array([116, 116, 58]) / [512, 512, 256])


def test_a_budget_that_leaves_nothing_to_grow_is_refused():
    with pytest.raises(InvalidSetting, match="larger"):
        Cycles("digits", (64, 64), 10, 16, 2).edited("grow", 0.01)


def test_equal_compute_costs_as_much_as_growing(everything):
    _, protocol, evidence, _ = everything
    stream = replace(protocol.streams[0], changes=(("tasks", 6), ("updates", 400)))
    lives = evidence.at_equal_compute(stream, "dense", "grow")
    macs = scores(lives, lambda result: sum(result.rows["macs"]))
    assert macs["dense"].mean() == pytest.approx(macs["grow"].mean(), rel=0.05)
    assert len(lives["dense"][0].online_accuracy()) < len(lives["grow"][0].online_accuracy())


def test_every_claim_is_judged_and_every_question_answered(everything):
    found = everything[-1]
    for name, asked in found.items():
        assert asked.answer is not None, asked.why
        assert asked.answer.findings
        judged = any(finding.verdict for finding in asked.answer.findings)
        assert judged == (name in CLAIMS)


def test_the_page_holds_them_all_with_pictures(everything):
    folder, protocol, evidence, found = everything
    text = page.write_page(folder / "claims.md", found, protocol, "plastic-env reproduce", evidence)
    assert (folder / "claims.md").read_text() == text
    for name, asked in found.items():
        assert f"## {name}: " in text
        assert f"| {name} | {asked.claim.says} | {asked.verdict} |" in text
    pictures = re.findall(r"\]\((claims-.*?png)\)", text)
    assert len(pictures) >= 9
    for picture in pictures:
        assert len(np.unique(np.array(Image.open(folder / picture).convert("L")))) > 20  # something is drawn


def test_the_end_of_a_cycle_is_before_the_next_edit():
    def seen(age, gradient):
        return CohortPoint(0, 1, age, 4, 0.5, gradient)

    history = CohortHistory([seen(0, -1.0), seen(2, -0.6), seen(6, -0.3), seen(6, -0.1), seen(8, 0.4)])
    found = parities(SimpleNamespace(cohorts=lambda: history), cycle=6)
    assert (found.birth_gradient, found.end_gradient) == (-1.0, -0.3)
    assert found.early_gradient == pytest.approx(-0.8)  # up to age 2


def test_a_claim_whose_data_are_missing_keeps_no_other_from_being_judged(everything):
    folder, protocol, *_ = everything
    absent = replace(protocol, images=replace(protocol.images, data="npz:nowhere.npz"))
    found = page.ask(["C4", "C1"], absent, Evidence(folder, Running(show_progress=False)))
    assert "nowhere.npz" in found["C4"].why
    assert found["C1"].answer is not None


def test_a_page_names_data_without_their_folder():
    assert [_without_folder(data) for data in ("cifar10", "npz:/some/where/x.npz")] == ["cifar10", "npz:x.npz"]


def test_a_figure_on_the_page_is_that_of_the_runs(everything):
    _, protocol, evidence, found = everything
    reached = scores(evidence.stream(protocol.streams[0], "grow", "prune"), taoa)
    gap = f"{(reached['prune'] - reached['grow']).mean():+.3f}"
    assert found["C8"].answer.findings[0].ours.startswith(gap)


def test_names_are_looked_up():
    assert page.chosen([]) == list(ALL)
    assert page.chosen(["c2", "C2", "rewind"]) == ["C2", "rewind"]
    with pytest.raises(UnknownName, match="C9"):
        page.chosen(["C99"])


def test_the_published_protocol_has_a_price(capsys, monkeypatch):
    monkeypatch.setattr(bill, "_rate", lambda *_: 1e10)  # its networks take a while
    assert main(["reproduce", "--size", "paper", "--dry-run", "--threads", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == list(ALL)
    assert main(["reproduce", "C1", "--size", "paper", "--dry-run", "--threads", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == lines[2].split()  # and that alone


def test_the_speed_of_the_machine_is_measured():
    (found,) = bill.bills(tiny(SIZES["small"]), ["C1"])
    assert found.macs / found.hours / 3600 > 1e6


def test_the_price_of_dense_by_hand():
    """64-20-20-10, per sample: 64*20 + 20*20 + 20*10 = 1880 forward, three times that less the inputs' 1280."""
    part = replace(tiny(SIZES["small"]).mlp, compactness=(0.4,))
    macs, _ = bill._price(bill.Life(part, "dense"))
    assert macs == (3 * 1880 - 1280) * 16 * 6 * 5 * 2  # batch, updates, cycles, seeds


def test_what_is_priced_is_what_is_run(everything):
    """But for lives at equal compute, whose lengths are known only then."""
    folder, protocol, *_ = everything
    evidence, names = Evidence(folder, Running(show_progress=False)), [name for name in ALL if name != "compute"]
    page.ask(names, protocol, evidence)
    results = [r for found in evidence._found.values() for rs in found.values() for r in rs]
    run = Counter()
    for result in {result.settings["id"]: result for result in results}.values():
        run[result.settings["method"], result.settings["updates"], result.settings["stream"]["data"]] += 1
    priced, needs = Counter(), bill.needs(protocol)
    for life in {life for name in names for life in needs[name]}:
        written = life.method + "/ticket" * life.ticket
        priced[written, sum(bill._lengths(life.part)[0]), life.part.data] += life.part.seeds
    assert priced == run


@pytest.mark.parametrize("name", ["images", "adam", "mlp"])
def test_the_published_protocol_starts(name, tmp_path):
    """Its networks and batches, on random images of its shape, for a few updates."""
    part = getattr(SIZES["paper"], name)
    shape = (28, 28) if name == "mlp" else (32, 32, 3)
    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(128, *shape), dtype=np.uint8), np.arange(128) % 10
    np.savez(tmp_path / "noise.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    short = replace(part, data=f"npz:{tmp_path / 'noise.npz'}", updates=1, cycles=2, seeds=1, looks=1)
    lives = Evidence(tmp_path, Running(show_progress=False)).cycles(short, {"grow": short.edited("grow", 0.2)})
    assert tuple(lives["grow"][0].rows["live"][-1]) == ((62, 62) if name == "mlp" else (116, 116, 58))
