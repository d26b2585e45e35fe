"""What pictures show, measured of results made by hand and of real ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from plastic_env import LearnerSettings
from plastic_env.agents import METHODS, Method
from plastic_env.agents.structural import NoEdit
from plastic_env.errors import InvalidSetting, UnknownName
from plastic_env.learner.cohorts import CohortPoint
from plastic_env.learner.replacement import ContinualBackprop
from plastic_env.study import measures, plots
from plastic_env.study.results import Result
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

NAMES = tuple(CohortPoint.__dataclass_fields__)
STEP = {
    "live": [2, 4],
    "age": [5.0, 5.0],
    "macs": 10,
    "diverged": False,
    "log_gradient_parity": [0.0, 0.0],
    "comparable": [False, False],
    "rewind": "none",
    "reset": False,
    **{kind: [0, 0] for kind in ("grow", "prune", "recycle")},
}


def lived(accuracies, *steps, shifts=(5, 10), seed=0, scored=None):
    """15 updates, in steps of five, of which `accuracies` holds one number each, or one list; steps: what else is known
    of them, `cohorts` being points."""
    rows = {name: [] for name in ("start", "stop", "accuracy", *STEP, *(f"cohort_{name}" for name in NAMES))}
    for at, accuracy in enumerate(accuracies):
        step = STEP | (steps[at] if at < len(steps) else {})
        points = step.pop("cohorts", [])
        step |= {"start": 5 * at, "stop": 5 * at + 5, "accuracy": np.broadcast_to(accuracy, 5).tolist()}
        step |= {f"cohort_{name}": [getattr(point, name) for point in points] for name in NAMES}
        for name, values in step.items():
            rows[name].append(values)
    return Result({"updates": 15, "shifts": list(shifts), "scored": scored, "seed": seed}, rows)


def point(layer, cohort, age, live=1, activation=0.0, gradient=0.0):
    return CohortPoint(layer, cohort, age, live, activation, gradient)


GROWN = {"live": [5, 4], "grow": [3, 0], "log_gradient_parity": [-1.0, 9], "comparable": [True, False]}
LATER = GROWN | {"grow": [0, 0], "rewind": "initial", "log_gradient_parity": [-2.0, 9]}
FIRST = lived([0.3, 0.6, 0.9], {}, GROWN, LATER)
SECOND = lived([0.1, 0.2, 0.3], seed=1)
FAILED = lived([0.3, 0.0], {}, {"diverged": True})


def test_curves_by_hand():
    found = measures.curves([FIRST, SECOND])
    assert found.task_ends.tolist() == [5, 10, 15]
    np.testing.assert_allclose(found.accuracy, [[0.3, 0.6, 0.9], [0.1, 0.2, 0.3]])
    np.testing.assert_allclose(found.width, [[3, 4.5, 4.5], [3, 3, 3]])
    np.testing.assert_allclose(found.parity, [[np.nan, -1, -2], [np.nan] * 3])
    assert found.edits.tolist() == [5, 10]
    assert np.isnan(measures.curves([FAILED]).width[0, 2])


def test_curves_of_streams_whose_shifts_differ_are_cut_into_equal_stretches():
    one, other = lived([0.3, 0.6, 0.9]), lived([0.3, 0.6, 0.9], shifts=(4, 11))
    assert measures.curves([one, one]).by_task
    cut = measures.curves([one, other])
    assert not cut.by_task
    assert cut.task_ends.tolist() == list(range(1, 16))
    assert cut.accuracy[1].tolist() == [0.3] * 5 + [0.6] * 5 + [0.9] * 5


def test_accuracy_within_tasks_is_a_mean_over_tasks_then_seeds():
    rising = [0.1, 0.2, 0.3, 0.4, 0.5]
    one, other = lived([rising, rising, [0.4, 0.5, 0.6, 0.7, 0.8]]), lived([0.0, 0.3, 0.6])
    found = measures.since_shift([one, other])
    assert found.x.tolist() == [0, 1, 2, 3, 4]
    mine = np.array([0.2, 0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(found.middle, (mine + 0.3) / 2)
    np.testing.assert_allclose(found.low, np.minimum(mine, 0.3))  # of two seeds
    np.testing.assert_allclose(found.high, np.maximum(mine, 0.3))
    alone = measures.since_shift([one])
    np.testing.assert_allclose(alone.middle, mine)
    pair = measures.early_late([one])
    np.testing.assert_allclose(pair.early.middle, rising)
    np.testing.assert_allclose(pair.late.middle, [0.4, 0.5, 0.6, 0.7, 0.8])


def test_tasks_that_are_not_scored_or_too_short_do_not_count_within_tasks():
    hard = lived([0.3, 0.6, 0.9], scored=[True, False, True])
    np.testing.assert_allclose(measures.since_shift([hard]).middle, [0.6] * 5)
    uneven = lived([0.2, 0.4, 0.6], shifts=(2, 9))  # tasks of 2, 7 and 6 updates
    expected = [(0.2 + 0.2 + 0.4) / 3, (0.2 + 0.2 + 0.6) / 3, 0.4, 0.5, 0.5, 0.5, 0.4]
    np.testing.assert_allclose(measures.since_shift([uneven]).middle, expected)
    both = measures.since_shift([uneven, lived([0.0, 0.0, 0.0])])
    assert both.x.tolist() == [0, 1, 2, 3, 4]  # the other has no longer task


def test_long_tasks_are_cut_into_stretches(monkeypatch):
    monkeypatch.setattr(measures, "POINTS", 2)
    found = measures.since_shift([lived([[0.0, 0.1, 0.2, 0.3, 0.4]] * 3)])
    assert found.x.tolist() == [1, 3.5]
    np.testing.assert_allclose(found.middle, [0.1, 0.35])


def test_river_tells_founders_from_births_even_when_the_founders_are_gone():
    # layer 0: two founders; cohort 1 (two units) at 5, when one founder leaves; cohort 2 (three units) at 10, when
    # the other does: then cohort 1 has nobody older and is no longer listed
    born = {"live": [3, 4], "age": [(2 * 5 + 10) / 3, 10.0], "cohorts": [point(0, 1, 0, 2), point(0, 1, 5, 2)]}
    gone = {"live": [5, 4], "age": [(2 * 10 + 3 * 5) / 5, 15.0], "cohorts": [point(0, 2, 0, 3), point(0, 2, 5, 3)]}
    found = measures.river([lived([0.5] * 3, {}, born, gone)], groups=3)
    assert found.updates.tolist() == [0, 5, 10]
    assert (found.end, found.edges.tolist(), found.shifts.tolist()) == (15, [0, 5, 10, 15], [5, 10])
    assert found.live.tolist() == [[6, 5, 4], [0, 0, 0], [0, 2, 2], [0, 0, 3]]


def test_river_after_a_reset_has_no_founders():
    again = {"age": [5.0, 5.0], "reset": True}
    found = measures.river([lived([0.5] * 3, {}, again, {"age": [10.0, 10.0]})], groups=3)
    assert found.live.tolist() == [[6, 0, 0], [0, 0, 0], [0, 6, 6], [0, 0, 0]]


def test_river_is_a_mean_over_those_that_live():
    small = lived([0.5] * 3, *({"live": [1, 1], "age": [age, age]} for age in (5.0, 10.0, 15.0)))
    failed = lived([0.5, 0], {"live": [3, 3]}, {"diverged": True})
    found = measures.river([small, failed], groups=1)
    assert found.live.tolist() == [[4, 2, 2], [0, 0, 0]]
    assert np.isnan(measures.river([failed], groups=1).live[:, 1:]).all()
    assert measures.river([small, lived([0.5] * 3, shifts=(4, 8))]).shifts.tolist() == []
    with pytest.raises(InvalidSetting, match="at least 1"):
        measures.river([small], groups=0)


PARITIES = [
    lived(
        [0.5] * 3,
        {},
        {"cohorts": [point(0, 1, 0, 2, 1.0, -3.0), point(1, 1, 0, 2, 2.0, -1.0), point(0, 1, 5, 2, 0.0, -2.0)]},
        # before the edit cohort 1 stood at -2; after it, at -9
        {"cohorts": [point(0, 1, 5, 2, 0.0, -9.0), point(0, 2, 0, 1, 3.0, -4.0), point(0, 1, 10, 2, 0.5, -0.5)]},
    ),
    lived([0.5] * 3, {}, {"cohorts": [point(0, 1, 0, 1, np.nan, np.nan), point(0, 1, 5, 1, 1.0, 0.0)]}),
]


def test_parity_by_age_is_over_cohorts_layers_and_seeds():
    found = measures.parity_by_age(PARITIES)
    assert found.x.tolist() == [0, 5, 10]
    assert found.middle.tolist() == [-3, -1, -0.5]  # of -4, -3, -1; -2, 0; -.5
    assert found.low.tolist() == [-3.5, -1.5, -0.5]
    assert found.high.tolist() == [-2, -0.5, -0.5]
    assert measures.parity_by_age(PARITIES, "activation").middle.tolist() == [2, 0.5, 0.5]
    assert len(measures.parity_by_age([FIRST])) == 0
    with pytest.raises(UnknownName, match="activation, gradient"):
        measures.parity_by_age(PARITIES, "utility")


def test_many_ages_are_counted_together_but_for_birth(monkeypatch):
    monkeypatch.setattr(measures, "AGES", 3)
    points = [point(0, 1, age, gradient=float(age)) for age in range(9)]
    found = measures.parity_by_age([lived([0.5], {"cohorts": points})])
    assert found.x.tolist() == [0, 2.5, 6.5]
    assert found.middle.tolist() == [0, 2.5, 6.5]


def test_geometry_is_of_first_and_last_sight():
    found = measures.geometry(PARITIES[:1])
    order = np.argsort(found.birth_gradient)  # layer 0 cohort 2, layer 0 cohort 1, layer 1 cohort 1
    assert found.birth_gradient[order].tolist() == [-4, -3, -1]
    assert found.birth_activation[order].tolist() == [3, 1, 2]
    assert found.end_gradient[order].tolist() == [-4, -0.5, -1]
    assert found.end_activation[order].tolist() == [3, 0.5, 2]
    sooner = measures.geometry(PARITIES[:1], until=5)
    assert sorted(sooner.end_gradient.tolist()) == [-4, -2, -1]
    assert measures.geometry([FIRST]).end_gradient.shape == (0,)


def test_times_to_integrate_know_their_learner():
    quick = [point(1, 2, 0, gradient=-0.1)]
    found = measures.times_to_integrate([lived([0.5], {"cohorts": quick}), FIRST, *PARITIES[:1]], smoothing=0)
    assert found.learner.tolist() == [0, 2, 2, 2]
    assert found.layer.tolist() == [1, 0, 1, 0]
    assert found.time.tolist() == [0, 10, 0, 0]
    assert found.observed.tolist() == [True, True, False, False]


def test_survival_is_kaplan_meiers():
    quick = [point(1, 2, 0, gradient=-0.1)]
    slow = [point(0, 1, 0, gradient=-3.0), point(0, 1, 5, gradient=3.0)]
    found = measures.survival([lived([0.5], {"cohorts": quick}), lived([0.5], {"cohorts": slow}), *PARITIES[:1]])
    # of five, one integrates at once and two are last seen then; of two, one does at 5; the last is last seen at 10
    assert found.time.tolist() == [0, 5, 10]
    np.testing.assert_allclose(found.waiting, [0.8, 0.4, 0.4])
    assert sorted(found.censored.tolist()) == [0, 0, 10]
    nobody = measures.survival([FIRST])
    assert (nobody.time.size, nobody.waiting.size, nobody.censored.size) == (0, 0, 0)
    unseen = measures.survival([lived([0.5], {"cohorts": [point(0, 1, 5, gradient=-3.0)]})])
    assert unseen.censored.tolist() == [5]
    assert (unseen.waiting == 1).all()


def test_spending_scores_and_differences():
    found = measures.spending([FIRST, lived([0.1, 0.2, 0.3], {"macs": 40})])
    assert found.macs.mean == 45
    assert found.taoa.mean == pytest.approx(0.4)
    table = measures.scores({"a": {"x": [FIRST, SECOND]}, "b": {"y": [FIRST], "x": [SECOND]}})
    assert (table.methods, table.scenarios) == (["x", "y"], ["a", "b"])
    np.testing.assert_allclose(table.values, [[0.4, 0.2], [np.nan, 0.6]])
    better = [lived([0.3] * 3, seed=1), lived([0.7] * 3, seed=0)]
    found = measures.taoa_differences({"base": [FIRST, SECOND], "mine": better}, "base")
    assert list(found) == ["mine"]
    np.testing.assert_allclose(found["mine"], [0.1, 0.1, 0.1])  # .7 - .6 and .3 - .2: by seed, not by place
    mine, base = measures.pairs(measures.taoa_by_seed(better), measures.taoa_by_seed([SECOND]))
    assert (mine.tolist(), base.tolist()) == (pytest.approx([0.3]), pytest.approx([0.2]))
    with pytest.raises(UnknownName, match="method"):
        measures.taoa_differences({"base": [FIRST]}, "dense")
    with pytest.raises(InvalidSetting, match="no seed in common"):
        measures.taoa_differences({"base": [FIRST], "mine": [SECOND]}, "base")


def test_the_page_on_pictures_names_what_there_is_and_its_code_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "howto" / "pictures.md").read_text()
    drawn = {name for name in plots.__all__ if name.startswith("draw_") or name.endswith("_figure")}
    parts = {"draw_accuracy", "draw_edits", "draw_lines"}  # of the first figure
    assert set(re.findall(r"`(draw_\w+\w|\w+_figure)`", page)) == drawn - parts
    assert all(callable(getattr(measures, name)) for name in re.findall(r"\| `measures\.(\w+)`", page))
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    assert {path.name for path in tmp_path.iterdir()} == {"results", "rivers.svg", "parity.png"}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two methods that bear units, one of them in the course of steps, and one that only resets."""
    busy = Method("", NoEdit, LearnerSettings(maintenance=(ContinualBackprop(rho=0.01, maturity=10),)))
    study = Study("PermutedDigits-small-v0", ("recycle", "busy", "reset"), (0, 1), (("tasks", 8), ("updates", 40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "busy", busy)
        return run_study(study, tmp_path_factory.mktemp("runs"), show_progress=False).results


@pytest.mark.parametrize("method", ["recycle", "busy", "reset"])
def test_river_of_real_runs_holds_every_unit_once(real, method):
    results = real[method]
    found = measures.river(results, groups=8)  # one per task
    np.testing.assert_allclose(found.live.sum(0), np.mean([np.sum(r.rows["live"], 1) for r in results], 0))
    assert (found.live >= 0).all()
    assert found.live[1:].any()
    assert (np.diff(found.live[0]) <= 0).all()
    for task, start in enumerate(found.edges[:-1]):
        assert not found.live[task + 1, found.updates + 40 < start].any()  # not before the step of its birth


def test_river_of_real_runs_begins_each_group_with_its_births(real):
    found = measures.river(real["recycle"], groups=8)
    births = np.mean([np.sum(r.rows["newborns"], 1) for r in real["recycle"]], 0)
    assert births[1:].all()
    np.testing.assert_allclose(np.diag(found.live[1:]), births)
    again = measures.river(real["reset"], groups=8)
    np.testing.assert_allclose(np.diag(again.live[1:])[1:], 128)
