"""The signs that the default comparison must show, on its default settings."""

import pytest

from plastic_env.study.compare import compare
from plastic_env.study.sweep import Study

METHODS = ("dense", "reset", "recycle", "grow", "grow_smooth_leaky")


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    study = Study("plastic_env/PermutedDigits-small-v0", METHODS, tuple(range(8)))
    return compare(study, tmp_path_factory.mktemp("demo"), threads=2, show_progress=False).summaries


def test_dense_loses_plasticity(summaries):
    assert summaries["dense"].first_fifth.mean - summaries["dense"].last_fifth.mean >= 0.08


@pytest.mark.parametrize(("better", "worse"), [("recycle", "reset"), ("grow_smooth_leaky", "grow")])
def test_intervals_do_not_overlap(summaries, better, worse):
    assert summaries[better].taoa.low > summaries[worse].taoa.high
