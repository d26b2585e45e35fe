"""What the benchmarks' scripts work out and print themselves."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from plastic_env.learner.cohorts import CohortHistory, CohortPoint
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study, stacked

ROOT = Path(__file__).parent.parent


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_intervals_of_three_seeds_are_students(script):
    # 0, 1, 2: a standard deviation of 1; t is 4.303 with two degrees of freedom: 4.303 / sqrt(3)
    assert script("newborns_on_images").mean_text(np.array([0.0, 1.0, 2.0])) == "1.000 ± 2.484"


def test_the_table_of_rules_has_a_heading_for_each_column(script, capsys):
    newborns = script("newborns_on_images")
    point = CohortPoint(*(1,) * len(CohortPoint.__dataclass_fields__))
    found = newborns.Found([CohortHistory([point])], {1: [point]}, {1: [point]}, np.full((2, 3), 0.5), 0.0)
    newborns.report_rules({"dormant, fresh": found})
    columns = [line.count("|") for line in capsys.readouterr().out.splitlines()]
    assert columns == [7, 7, 7]


def test_lives_of_diverged_runs_cost_as_much_as_others(script, tmp_path):
    study = Study("PermutedDigits-small-v0", ("dense", "dense+optimizer=sgd+lr=1e30"), 2, {"tasks": 2, "updates": 4})
    results = run_study(study, tmp_path, show_progress=False).results
    healthy, diverged = (script("mixed_shifts").Lives.of(runs) for runs in results.values())
    assert any(run.rows["diverged"][-1] for runs in results.values() for run in runs)
    assert healthy.cost.shape == diverged.cost.shape == (2, 8)
    assert (diverged.cost > 0).all()


def test_methods_are_stacked_up_to_as_many_learners_as_are_asked_for(script):
    cells = Study("PermutedDigits-small-v0", ("dense", "reset"), 2, {"tasks": 2, "updates": 4}).cells()
    assert [len(group) for most in (1, 4) for group in stacked(cells, most)] == [2, 2, 4]
    assert script("stacking").rate(cells, 1) > 0


def test_comparing_without_dense_is_refused_before_anything_runs(script, monkeypatch, capsys):
    asked = ["mixed_shifts", "BimodalShiftsDigits-small-v0", "ppo:nowhere.pt", "--methods", "recycle"]
    monkeypatch.setattr("sys.argv", asked)
    with pytest.raises(SystemExit):
        script("mixed_shifts").main()
    assert "--methods recycle lacks dense" in capsys.readouterr().err
