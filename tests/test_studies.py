"""What people describe as a study, and the same study from a file, from Python and from the command line."""

import json
import re
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import DIGITS, contents, run

from plastic_env import PlasticEnvError
from plastic_env.agents import METHODS
from plastic_env.cli import main
from plastic_env.errors import FileError, InvalidSetting
from plastic_env.study.assignment import assigned
from plastic_env.study.description import from_plain, load_study, name_of, to_plain
from plastic_env.study.methods import check_possible
from plastic_env.study.results import read_run
from plastic_env.study.runner import Finished, run_study
from plastic_env.study.sweep import MOST_JOINED, Study
from plastic_env.study.values import shortest, spread

SMALL = {"tasks": 3, "updates": 4}

TOML = f"""
scenarios = "{DIGITS}"
methods = ["dense", "grow+events=2"]
seeds = "5-6"

[settings]
tasks = 3
updates = 4
tests = "task"

[axes]
strength = [0.1, 1.0]
boundaries = ["decision", "hidden"]
lr = [0.01, 0.001]
activation = ["relu", "smooth_leaky"]
"""


def small(*methods, seeds=2, **parts):
    return Study(DIGITS, methods or ("dense",), seeds, parts.pop("settings", SMALL), **parts)


def test_every_combination_is_a_cell_and_values_go_where_they_belong(tmp_path):
    (tmp_path / "study.toml").write_text(TOML)
    cells = load_study(str(tmp_path / "study.toml")).cells()
    assert len(cells) == 2 * 2 * 2 * 2 * 2
    assert cells[0].scenario == f"{DIGITS}+strength=0.1+boundaries=decision"
    assert [cell.method for cell in cells[:3]] == [
        "dense+lr=0.01+activation=relu",
        "dense+lr=0.01+activation=smooth_leaky",
        "dense+lr=0.001+activation=relu",
    ]
    last = cells[-1].runs[1]
    assert cells[-1].method == "grow+events=2+lr=0.001+activation=smooth_leaky"
    assert (last.seed, last.scenario.strength, last.scenario.tasks) == (6, 1.0, 3)
    assert (last.episode.boundaries, last.episode.tests) == ("hidden", "task")
    assert (last.episode.learner.optimizer.lr, last.episode.learner.activation) == (0.001, "smooth_leaky")
    assert (last.method.make().events, last.episode.learner.live) == (2, METHODS["grow"].learner.live)
    assert len({run.id for cell in cells for run in cell.runs}) == 64


def test_file_python_and_command_line_describe_the_same_runs(tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text(TOML)
    (tmp_path / "mine_study.py").write_text(
        "from plastic_env.study.sweep import Study\n"
        f"STUDY = OTHER = Study({DIGITS!r}, ['dense', 'grow+events=2'], [5, 6],\n"
        "    settings={'tasks': 3, 'updates': 4, 'tests': 'task'},\n"
        "    axes={'strength': [0.1, 1.0], 'boundaries': ['decision', 'hidden'], 'lr': [0.01, 0.001],\n"
        "          'activation': ['relu', 'smooth_leaky']})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given = ["--scenario", DIGITS, "--methods", "dense", "grow+events=2", "--seeds", "5,6", "--tasks", "3"]
    given += ["--set", "updates=4", "--tests", "task", "--axis", "strength=0.1,1.0", "boundaries=decision,hidden"]
    asked = []
    monkeypatch.setattr("plastic_env.cli.run._carry_out", lambda study, *_: asked.append(study) or 0)
    main(["run", *given, "lr=0.01,0.001", "activation=relu,smooth_leaky"])
    for written in ("study.toml", "mine_study.py", "mine_study.py:OTHER", "mine_study", "mine_study:OTHER"):
        main(["run", written])
    main(["run", "--study", "study.toml", "--seeds", "1"])
    ids = [[run.id for cell in study.cells() for run in cell.runs] for study in asked[:-1]]
    assert len(ids) == 6
    assert all(found == ids[0] for found in ids)
    assert asked[-1] == Study(**{**vars(asked[1]), "seeds": 1})  # a part of it changed
    for study in asked:
        assert from_plain(json.loads(json.dumps(to_plain(study))), "here") == study


@pytest.mark.parametrize(
    ("written", "seeds", "again"),
    [
        (3, (0, 1, 2), 3),
        ("3", (0, 1, 2), 3),
        ("100-102", (100, 101, 102), ["100-102"]),
        ([4, "7-8", 4], (4, 7, 8), [4, "7-8"]),
        ("4, 7 - 8", (4, 7, 8), [4, "7-8"]),
    ],
)
def test_seeds(written, seeds, again):
    assert spread(written) == seeds
    assert shortest(seeds) == again
    assert spread(again) == seeds


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "-3", "9-3", "a", "", [], ["x"], [-1], [True]])
def test_seeds_that_are_none(wrong):
    with pytest.raises(InvalidSetting, match="seeds"):
        spread(wrong)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("method = 1", r"Unknown key of .*study.toml 'method'\. Did you mean 'methods'\?"),
        ("methods = 3", r"methods is 3; give names"),
        ("[axes]\nstrenth = [1.0]", r"Unknown setting of .* 'strenth'\. Did you mean 'strength'\?"),
        ("[axes]\nevents = [1, 2]", r"Unknown setting of .* or of the method dense 'events'"),
        ("[axes]\nlr = 0.1", r"lr in axes is 0\.1; give a list of values: \[0\.1\]"),
        ("[axes]\nlr = [0.1, 0.1]", r"give each value once"),
        ("[axes]\nlr = [0.1]\n[settings]\nlr = 1", r"lr is given more than once"),
        ("[axes]\nactivation = ['relu', 'smoth_leaky']", r"Did you mean 'smooth_leaky'"),
        ("[settings]\nlearner = 'x'", r"'learner'"),
        ("[settings]\nstart = 2020-01-01", r"start is datetime.date.*plain values"),
        ("[tune]\nstrength = [0.1]", r"only options of methods can be tuned"),
        ("[tune]\nlr = [0.1]\nseeds = '1-3'", r"The seeds \[1\] are used for tuning and for the results"),
        ("seeds", r"study.toml is no TOML"),
        ("", r"study.toml lacks methods, seeds; a study needs scenarios, methods, seeds"),
    ],
)
def test_mistakes_in_a_file_are_explained(tmp_path, text, says):
    needed = "" if text in ("", "seeds") else "seeds = 2\n" + ("methods = 'dense'\n" if "methods" not in text else "")
    (tmp_path / "study.toml").write_text(f'scenarios = "{DIGITS}"\n{needed}{text}')
    with pytest.raises(PlasticEnvError, match=says):
        load_study(str(tmp_path / "study.toml")).cells()


def test_an_option_of_the_methods_own_goes_before_settings_and_is_no_axis():
    settings = {**SMALL, "lr": 0.5}
    found = small("dense+lr=0.1", "dense", settings=settings).cells()
    assert [cell.runs[0].episode.learner.optimizer.lr for cell in found] == [0.1, 0.5]
    with pytest.raises(InvalidSetting, match=r"dense\+lr=0.1 has an lr of its own, which is also to be varied"):
        small("dense+lr=0.1", axes={"lr": [0.1, 0.2]}).cells()


@pytest.mark.parametrize("written", ["nowhere.toml", "nowhere", "no/folder", "nowhere.py", "json"])
def test_studies_that_are_none(tmp_path, monkeypatch, written):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        PlasticEnvError, match=r"no study|can't be read|can't be imported|There is no file|STUDY in json"
    ):
        load_study(written)


@pytest.mark.parametrize("written", ["nowhere.toml", "nowhere", "nowhere.py", "lapse.py"])
def test_a_study_that_cannot_be_read_is_a_matter_of_files(tmp_path, monkeypatch, written):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lapse.py").write_text("STUDY = 1 / 0")
    with pytest.raises(FileError):
        load_study(written)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("here/mine.toml", "mine"),
        ("here/mine.py", "mine"),
        ("mine.py:STUDY", "mine"),
        ("mine.py:A", "mine-A"),
        ("mine.py:B", "mine-B"),
        ("package.first", "first"),
        ("package.second", "second"),
        ("package.second:A", "second-A"),
    ],
)
def test_studies_have_folders_of_their_own(written, name):
    assert name_of(written) == name


def test_settings_are_assigned_without_loading_data():
    given = {"lr": 0.1, "tests": "task", "tasks": 3, "data": "npz:nowhere.npz", "rule": "redo"}
    found = assigned(given, DIGITS)
    assert found.scenario == {"tasks": 3, "data": "npz:nowhere.npz"}
    assert found.episode == {"tests": "task"}
    assert found.options == {"lr": 0.1, "rule": "redo"}


def test_why_runs_failed_is_told_of_their_own_scenario():
    cells = tuple(Study((DIGITS, "IidDigits-small-v0"), ("dense", "grow"), 1, SMALL).cells())
    broken = replace(cells[3], runs=(), error="too wide")
    failed = {cells[0].runs[0].id: "of the first", cells[2].runs[0].id: "of the second"}
    finished = Finished(small(), (*cells[:3], broken), Path("out"), failed)
    assert finished.reasons(DIGITS) == ["of the first"]
    assert finished.reasons("IidDigits-small-v0") == ["of the second", "too wide"]


def test_combinations_that_are_impossible_fail_alone(tmp_path, capsys):
    options = ["--scenario", DIGITS, "--methods", "dense", "prune", "--set", "tasks=3", "updates=4", "--seeds", "2"]
    code, out, _ = run(capsys, "run", *options, "--axis", "live=1.0,0.3,7", "--out", tmp_path, "--threads", "1")
    assert code == 1
    rows = {line.split()[1]: line.split()[2:] for line in out.splitlines()[2:8]}
    assert rows == {
        "dense+live=1.0": ["2", "0", "0"],
        "dense+live=0.3": ["2", "0", "0"],
        "dense+live=7": ["0", "2", "0"],
        "prune+live=1.0": ["2", "0", "0"],
        "prune+live=0.3": ["0", "2", "0"],
        "prune+live=7": ["0", "2", "0"],
    }
    assert f"prune+live=0.3 on {DIGITS}, 2 failed: prune+live=0.3 prunes to target=0.5 of the slots, but" in out
    assert "LearnerSettings has live=7; give a number above 0 and at most 1" in out
    with pytest.raises(InvalidSetting, match="live=7"):
        small(axes={"live": [7]}).cells()  # nothing is left


@pytest.mark.parametrize("name", METHODS)
def test_all_methods_are_possible(name):
    check_possible(name, METHODS[name])


def test_methods_with_equal_learners_are_stacked_and_agree_with_others_but_for_rounding(tmp_path):
    study = small("dense", "grow", "recycle", "reset", seeds=6)
    groups = [[(r.method_name, r.seed) for r in group] for group in study.groups()]
    assert [sorted({name for name, _ in group}) for group in groups] == [["dense", "recycle"], ["reset"], ["grow"]]
    assert max(map(len, groups)) <= MOST_JOINED
    assert [len(group) for group in small(seeds=40).groups()] == [32, 8]
    together = run_study(small("dense", "recycle"), tmp_path / "a", show_progress=False)
    alone = run_study(small("recycle"), tmp_path / "b", show_progress=False)
    assert together.results["recycle"][0].settings["stacked"] == [
        ["dense", 0],
        ["dense", 1],
        ["recycle", 0],
        ["recycle", 1],
    ]
    for mine, other in zip(together.results["recycle"], alone.results["recycle"], strict=True):
        np.testing.assert_allclose(mine.rows["loss"][-1], other.rows["loss"][-1], rtol=1e-4)
        np.testing.assert_allclose(mine.online_accuracy(), other.online_accuracy(), atol=1 / 16)


def test_several_scenarios_are_compared_one_by_one(tmp_path, capsys):
    options = ["--methods", "dense", "reset", "--seeds", "2", "--set", "tasks=3", "updates=4", "--out", tmp_path]
    both = [DIGITS, "RotatedDigits-small-v0"]
    code, out, _ = run(capsys, "compare", "--scenario", *both, *options, "--json", "--threads", "1")
    assert code == 0
    found = json.loads(out)
    assert [table["scenario"] for table in found] == both
    assert found[0]["methods"]["dense"]["taoa"] != found[1]["methods"]["dense"]["taoa"]
    assert {file.name for file in tmp_path.glob("*.png")} == {f"plasticity_curves-{name}.png" for name in both}


def test_tuning_takes_the_best_on_seeds_of_its_own(tmp_path, capsys):
    options = ["--methods", "dense", "layer_norm", "--seeds", "2", "--set", "tasks=3", "updates=4", "--threads", "1"]
    tune = ["--tune", "lr=1e-6,0.01", "--tune-seeds", "50-52"]
    code, out, _ = run(capsys, "run", *options, *tune, "--out", tmp_path)
    assert code == 0
    study = small("dense", "layer_norm", tune={"lr": [1e-6, 0.01]}, tune_seeds="50-52")
    scores = {}
    for cell in study.tuning.cells():
        assert [run.seed for run in cell.runs] == [50, 51, 52]
        scores[cell.method] = np.mean([read_run(tmp_path, run).taoa() for run in cell.runs])
    finished = run_study(study, tmp_path, show_progress=False)
    for method in ("dense", "layer_norm"):
        best = max((1e-6, 0.01), key=lambda lr: scores[f"{method}+lr={lr}"])
        settings = finished.results[method][1].settings
        assert settings["tuned"] == {"values": {"lr": best}, "of": {"lr": [1e-6, 0.01]}, "seeds": [50, 51, 52]}
        assert settings["episode"]["learner"]["optimizer"]["lr"] == best
        taoa = scores[f"{method}+lr={best}"]
        note = f"{method} has lr={best}: TAOA {taoa:.3f} over the 3 tuning seeds from 50 (tried: lr 1e-06, 0.01)."
        assert note in out
    assert re.findall(r"  (\S+) +(\d) +0 +0\n", out) == [
        *((name, "3") for name in scores),
        ("dense", "2"),
        ("layer_norm", "2"),
    ]
    before = contents(tmp_path)
    assert run(capsys, "resume", tmp_path, "--threads", "1")[1] == out
    assert contents(tmp_path) == before
    _, table, _ = run(capsys, "compare", *options, *tune, "--out", tmp_path)
    assert "note:   dense has lr=0.01" in table


def test_folders_of_several_machines_are_one_study(tmp_path, capsys):
    study = {"scenarios": [DIGITS], "methods": ["dense", "grow"], "seeds": 4, "settings": SMALL}
    (tmp_path / "study.json").write_text(json.dumps({"study": study}))
    for at, seeds in enumerate(("0-1", "2", "3-3")):
        seeds = "2-2" if seeds == "2" else seeds
        run(capsys, "run", tmp_path / "study.json", "--seeds", seeds, "--out", tmp_path / str(at), "--threads", "1")
        shutil.copytree(tmp_path / str(at), tmp_path / "all", dirs_exist_ok=True)
    code, out, _ = run(capsys, "status", tmp_path / "study.json", "--out", tmp_path / "all")
    assert code == 0
    assert re.findall(r"  (\S+) +(\d) +(\d) +(\d)\n?", out) == [(m, "4", "0", "0") for m in ("dense", "grow")]
    _, out, _ = run(capsys, "status", tmp_path / "all")  # the copy's own record is of the last machine
    assert "6 other results are in the folder" in out


def test_the_package_is_the_command_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["plastic_env", "list", "data"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("plastic_env", run_name="__main__")
    assert capsys.readouterr().out == run(capsys, "list", "data")[1]


@pytest.mark.parametrize("kind", ["scenarios", "methods", "data", "rules"])
def test_lists_have_a_line_for_each(capsys, kind):
    code, out, _ = run(capsys, "list", kind)
    assert code == 0
    lines = out.splitlines()
    assert all(re.fullmatch(r"\S+ {2,}\S.*", line) for line in lines)
    known = {"scenarios": DIGITS, "methods": "recycle", "data": "digits", "rules": "insertion=net2wider"}
    assert known[kind] in {line.split()[0] for line in lines}


def test_show(tmp_path, capsys):
    assert '"strength": 1.0' in run(capsys, "show", DIGITS)[1]
    assert "fraction: of the live units" in run(capsys, "show", "recycle+fraction=0.5")[1]
    assert '"fraction": 0.5' in run(capsys, "show", "recycle+fraction=0.5")[1]
    assert run(capsys, "show", "random")[1].count("Uniform random numbers") == 3
    (cell,) = run_study(small(seeds=1), tmp_path, show_progress=False).cells
    for name in (cell.runs[0].id, tmp_path / f"{cell.runs[0].id}.parquet"):
        assert json.loads(run(capsys, "show", name, "--out", tmp_path)[1])["seed"] == 0
    code, _, err = run(capsys, "show", "recycel")
    assert code == 2
    assert "Nothing is called 'recycel'. Did you mean 'recycle'? `plastic-env list` lists all names." in err
    assert "Did you mean 'fraction'" in run(capsys, "show", "recycle+fractoin=1")[2]
