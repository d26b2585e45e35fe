"""Pages on studies: what is missing, tuning, tickets, and the commands that redo it all."""

import argparse
import json
import re
import shlex

import pytest
from failing import SCENARIO, copied
from reader import Reader, column, with_head
from scipy import stats

from plastic_env.cli.options import add_study, study_of
from plastic_env.study.description import keep_study, to_words
from plastic_env.study.folder import read_folder
from plastic_env.study.report import troubles, write_report
from plastic_env.study.report.commands import commands_of
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study
from plastic_env.study.ticket import tickets

SMALL = (("tasks", 2), ("updates", 10))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that is tuned, with a value that one method refuses, whole."""
    where = tmp_path_factory.mktemp("study")
    axes = {"strength": (0.5, 1.0), "live": (1.0, 0.1)}  # with the latter, prune has nothing to prune
    made = Study(SCENARIO, ("dense", "prune"), "5-6", SMALL, axes, {"lr": (0.01, 1e-6)}, ["50-50"])
    keep_study(made, where)
    run_study(made, where, show_progress=False)
    return made, where


def test_tuning_is_kept_apart(study):
    page = Reader(write_report(study[1]).read_text(encoding="utf-8"))
    summaries = with_head(page, "TAOA")
    assert [[row[0][0] for row in table.rows] for table in summaries[:2]] == [
        ["dense+live=0.1", "dense+live=1.0", "prune+live=1.0"]
    ] * 2
    (table,) = (table for table in page.tables if "candidate" in table.heads)
    assert len(table.rows) == 2 * 3 * 2
    found = read_folder(study[1])
    assert {r.settings["seed"] for methods in found.results.values() for runs in methods.values() for r in runs} == {
        5,
        6,
    }
    assert {r.settings["seed"] for methods in found.tuning.values() for runs in methods.values() for r in runs} == {50}


def test_what_can_not_be_run_has_failed(study):
    found = read_folder(study[1])
    assert not found.failures
    gaps = [(gap.scenario, gap.method, gap.seeds) for gap in found.planned[0].gaps if gap.seeds == (5, 6)]
    assert gaps == [(f"{SCENARIO}+strength={strength}", "prune+live=0.1", (5, 6)) for strength in (0.5, 1.0)]
    assert all("prune+live=0.1+lr=0.01 prunes to target=0.5" in gap.why for gap in found.planned[0].gaps[-2:])
    assert troubles.count_missing(found) == 0
    assert troubles.count_failed(found) == 2 * 2 + 2 * 2  # two candidates each with one seed


@pytest.mark.parametrize("code", [None, "another"])
def test_what_is_missing_is_told_by_any_version(study, tmp_path, code):
    copied(study[1], tmp_path, "*.parquet", "study.json")
    for path in (*tmp_path.glob("dense+live=0.1-seed005*strength=1.0*"), *tmp_path.glob("prune+live=1.0-seed006*")):
        path.unlink()
    if code is not None:
        record = json.loads((tmp_path / "study.json").read_text())
        record["versions"]["code"] = code
        (tmp_path / "study.json").write_text(json.dumps(record))
    gaps = read_folder(tmp_path).planned[0].gaps
    assert {(gap.scenario[-3:], gap.method, gap.seeds) for gap in gaps if not gap.why} == {
        ("1.0", "dense+live=0.1", (5,)),
        ("0.5", "prune+live=1.0", (6,)),
        ("1.0", "prune+live=1.0", (6,)),
    }
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "3 runs of the study are missing" in page.texts["p"]


def test_a_study_that_can_not_be_read_stops_nothing(study, tmp_path):
    copied(study[1], tmp_path, "dense+live=1.0-seed00*")
    for text, problem in (("{", "can't be read"), ('{"study": {"scenarios": "x"}}', "another version")):
        (tmp_path / "study.json").write_text(text)
        page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
        assert re.search(f"What is missing in .* can't be told: .*{problem}", page.texts["p"])


def test_commands_say_the_whole_study(study):
    made, where = study
    (line,) = commands_of(read_folder(where), where).lines
    program, command, *words = shlex.split(line)
    assert (program, command, words[-2:]) == ("plastic-env", "run", ["--out", str(where)])
    assert study_of(parsed(words[:-2])) == made


@pytest.mark.parametrize("seeds", [1, 4, "7", (7,), "3-5,9"])
@pytest.mark.parametrize("value", ["two words", "0.1", "None", True, (64, 32), ((8,), 4)])
def test_commands_of_studies_come_back(seeds, value):
    made = Study((SCENARIO, "IidDigits-small-v0"), ("dense", "grow+events=5"), seeds, {"x": value}, {"y": (value, 1)})
    assert study_of(parsed(to_words(made))) == made


def parsed(words):
    parser = argparse.ArgumentParser()
    add_study(parser)
    return parser.parse_args(words)


def test_tickets_stand_beside_their_cycles(tmp_path):
    settings = (*SMALL, ("tests", "past"))
    found = tickets(Study("IidDigits-small-v0", ("dense", "grow"), 3, settings), tmp_path, show_progress=False)
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Cycle and ticket, fresh weights" in page.texts["h3"]
    (summary,) = with_head(page, "TAOA")
    assert [row[0][0] for row in summary.rows] == ["dense", "grow"]
    (table,) = with_head(page, "cycle ACC")
    for name, one in found.methods.items():
        expected = {
            ("cycle ACC", 0): one.cycle_acc,
            ("ticket ACC", 0): one.ticket_acc,
            ("ticket - cycle", 0): one.ticket_acc - one.cycle_acc,
            ("cycle TAA", 0): one.cycle_taa,
            ("ticket TAA", 0): one.ticket_taa,
            ("ticket - cycle", 1): one.ticket_taa - one.cycle_taa,
            ("width", 0): one.width,
        }
        for (head, at), values in expected.items():
            assert column(table, head, at)[name] == pytest.approx(values.mean()), head
    edited, retrained = with_head(page, "Welch p")[1:]
    for tests, side in ((edited, "cycle_acc"), (retrained, "ticket_acc")):
        grow, dense = (getattr(found.methods[name], side) for name in ("grow", "dense"))
        assert column(tests, "Welch p")["grow"] == pytest.approx(stats.ttest_ind(grow, dense, equal_var=False).pvalue)
    (line,) = commands_of(read_folder(tmp_path), tmp_path).lines
    assert line == (
        "plastic-env ticket --scenario IidDigits-small-v0 --methods dense grow --seeds 3 "
        f"--set tasks=2 updates=10 tests=past --out {tmp_path}"
    )
