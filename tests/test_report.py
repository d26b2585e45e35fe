"""Summaries and tables of results made by hand."""

import numpy as np
import pytest

from plastic_env.study import report
from plastic_env.study.results import Result


def made(accuracies, live, dormant, macs, parity=None, diverged=False, tests=(), scored=None, shifts=(5, 10)):
    """Three tasks of five updates; one step per task, of constant accuracy."""
    steps = len(accuracies)
    parity = parity or [[0.0, 0.0]] * steps
    return Result(
        {"updates": 15, "shifts": list(shifts), "scored": scored, "episode": {"tests": "past" if tests else "none"}},
        {
            "start": [0, 5, 10][:steps],
            "stop": [5, 10, 15][:steps],
            "accuracy": [[a] * 5 for a in accuracies],
            "tests": [*tests, *[[]] * steps][:steps],
            "live": live,
            "dormant": dormant,
            "macs": macs,
            "diverged": [False] * (steps - 1) + [diverged],
            "log_gradient_parity": parity,
            "comparable": [[any(p), False] for p in parity],
            "grow": [[0, 0], [3, 0], [0, 0]][:steps],
            "prune": [[0, 0]] * steps,
            "recycle": [[0, 0]] * steps,
            "rewind": ["none", "none", "initial"][:steps],
            "reset": [False] * steps,
        },
    )


FIRST = made(
    [0.3, 0.6, 0.9],
    [[2, 4], [5, 4], [5, 4]],
    [[0, 0], [0, 0], [0.2, 0.5]],
    [10, 20, 30],
    [[0, 0], [-1.0, 9], [-2.0, 9]],
)
SECOND = made([0.1, 0.2, 0.3], [[2, 4], [2, 4], [2, 4]], [[0, 0], [0, 0], [0.5, 0.25]], [10, 10, 10])
FAILED = made([0.3, 0.0], [[2, 4], [2, 4]], [[0, 0], [1, 1]], [10, 10], diverged=True)


def test_summary_by_hand():
    found = report.summarise([FIRST, SECOND])
    assert found.taoa.mean == pytest.approx((0.6 + 0.2) / 2)
    assert found.first_fifth.mean == pytest.approx((0.3 + 0.1) / 2)
    assert found.last_fifth.mean == pytest.approx((0.9 + 0.3) / 2)
    assert found.final_width == pytest.approx((4.5 + 3) / 2)
    assert found.dormant == pytest.approx(((0.2 * 5 + 0.5 * 4) / 9 + (0.5 * 2 + 0.25 * 4) / 6) / 2)
    assert found.macs == 45
    assert found.diverged == 0


def test_a_diverged_run_counts_nothing_after_its_end_and_has_no_dormant_units():
    found = report.summarise([SECOND, FAILED])
    assert found.taoa.mean == pytest.approx((0.2 + 0.1) / 2)
    assert found.last_fifth.mean == pytest.approx(0.15)
    assert found.dormant == pytest.approx((0.5 * 2 + 0.25 * 4) / 6)
    assert found.diverged == 1
    alone = report.as_json("x", {"dense": report.summarise([FAILED])})["methods"]["dense"]
    assert alone["dormant"] is None
    assert alone["taoa"] == [pytest.approx(0.1), None, None]


def test_easy_tasks_do_not_count():
    result = made([0.3, 0.6, 0.9], [[2, 4]] * 3, [[0, 0]] * 3, [10] * 3, scored=[True, False, True])
    assert result.taoa() == pytest.approx(0.6)
    result = made([0.3, 0.6, 0.9], [[2, 4]] * 3, [[0, 0]] * 3, [10] * 3, scored=[False, True, True])
    assert report.summarise([result]).taoa.mean == pytest.approx(0.75)
    assert report.summarise([result]).first_fifth.mean == pytest.approx(0.3)


def test_tests_are_those_after_the_last_task_that_was_tested():
    tested = made([0.3, 0.6, 0.9], [[2, 4]] * 3, [[0, 0]] * 3, [10] * 3, tests=[[0.2], [], [0.4, 0.8]])
    untested = made([0.3, 0.6, 0.9], [[2, 4]] * 3, [[0, 0]] * 3, [10] * 3)
    found = {"a": report.summarise([tested]), "b": report.summarise([untested])}
    assert found["a"].test.mean == pytest.approx(0.6)
    assert found["b"].test is None
    header, _, first, second = report.as_table(found).splitlines()
    assert "test accuracy at the end" in header
    assert first.split()[4] == "0.600"
    assert second.split()[4] == "-"
    assert report.as_json("x", found)["methods"]["b"]["test"] is None
    failed = made([0.3, 0.0], [[2, 4]] * 2, [[0, 0]] * 2, [10] * 2, diverged=True, tests=[[0.9], []])
    assert failed.test_accuracy() == 0  # whatever it knew before
    ended = made([0.3, 0.0], [[2, 4]] * 2, [[0, 0]] * 2, [10] * 2, tests=[[0.9], [0.8]])
    assert np.isnan(ended.test_accuracy())  # it was cut short
    assert report.summarise([tested, ended]).test is None  # not the mean of the others


def test_table_by_hand():
    lines = report.as_table(
        {"dense": report.summarise([FIRST]), "mine": report.summarise([SECOND, FAILED])}
    ).splitlines()
    assert lines[2].split() == ["dense", "0.600", "[one", "seed]", "0.300", "0.900", "4.5", "0.33", "60", "1.00"]
    assert lines[3].startswith("mine (1 diverged)")
    assert lines[3].split()[-2:] == ["25", "0.42"]
