"""Tests of differences and Holm's correction, against scipy, by hand and by trying all permutations."""

from itertools import combinations, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plastic_env.errors import InvalidScores
from plastic_env.study.stats import Significance, holm, permutation_test, sign_flip_test, welch_test

# Heights of cross- less those of self-fertilised maize in eighths of an inch (Darwin 1876; Fisher 1935, section 21)
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])

whole = st.lists(st.integers(0, 16), min_size=2, max_size=6)  # right answers of a batch of 16
pairs = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), min_size=2, max_size=8)


def test_welch_is_scipys():
    a, b = np.random.default_rng(0).normal(size=9), np.random.default_rng(1).normal(0.5, 3, size=5)
    found, expected = welch_test(a, b), scipy.stats.ttest_ind(a, b, equal_var=False)
    assert found == pytest.approx((a.mean() - b.mean(), expected.pvalue, expected.statistic, expected.df))


def test_welch_where_nothing_varies():
    assert welch_test([0.1] * 3, [0.1] * 4) == pytest.approx((0, 1, 0, np.nan), nan_ok=True)
    assert welch_test([0.1] * 3, [0.3] * 4) == pytest.approx((-0.2, 0, -np.inf, np.nan), nan_ok=True)
    assert welch_test([0.5] * 3, [0.1, 0.2]).degrees == 1  # all that varies has one
    assert welch_test([0.5], [0.1, 0.2]) == pytest.approx((0.35, np.nan, np.nan, np.nan), nan_ok=True)


@given(whole, whole)
def test_welch_is_symmetric(a, b):
    there, back = welch_test(a, b), welch_test(b, a)
    assert 0 <= there.p <= 1
    assert there.p == pytest.approx(back.p)
    assert there.difference == pytest.approx(-back.difference)


def test_sign_flips_by_hand():
    assert sign_flip_test([0.5, 0.6, 0.7], [0.4, 0.4, 0.4]) == pytest.approx((0.2, 2 / 8))  # only all signs turned
    assert sign_flip_test([2, 4, 1], [1, 2, 2]) == pytest.approx((2 / 3, 6 / 8))  # 1, 2, -1: two sums are 0
    assert sign_flip_test([0.1, 0.2], [0.1, 0.2]) == (0, 1)
    assert np.isnan(sign_flip_test([0.5], [0.4]).p)


def test_fishers_test_of_darwins_maize():
    found = sign_flip_test(DARWIN, np.zeros(15))
    assert found.difference == pytest.approx(314 / 15)
    assert found.p == pytest.approx(1726 / 2**15, abs=0.005)  # of all; ours is drawn
    assert sign_flip_test(DARWIN, np.zeros(15)) == found
    exact = sign_flip_test(DARWIN[:14], np.zeros(14)).p
    sums = np.array(list(product([1, -1], repeat=14))) @ DARWIN[:14]
    assert exact == (np.abs(sums) >= abs(DARWIN[:14].sum())).mean()


@given(pairs)
@example([(1, 0), (2, 0), (0, 3)])
def test_sign_flips_are_exact_and_symmetric(values):
    a, b = np.array(values).T
    sums = np.array(list(product([1, -1], repeat=len(a)))) @ (a - b)
    found = sign_flip_test(a / 16, b / 16)
    assert found.p == (np.abs(sums) >= abs((a - b).sum())).mean()
    assert sign_flip_test(b / 16, a / 16) == (-found.difference, found.p)
    assert sign_flip_test(0.8 + a / 1000, 0.8 + b / 1000).p == found.p  # ties stay ties, rounded or not


def test_permutations_by_hand():
    assert permutation_test([1, 2], [3, 4]) == (-2, 2 / 6)  # 12|34 and 34|12 of six
    assert permutation_test([0.5] * 4, [0.5] * 3) == (0, 1)
    assert permutation_test([0.5], [0.4, 0.1]) == pytest.approx((0.25, np.nan), nan_ok=True)


@settings(max_examples=50)
@given(whole, whole)
@example([1, 2, 3], [2, 3, 4])
def test_permutations_are_exact(a, b):
    together = np.array([*a, *b])
    first = np.array([together[list(rows)].sum() for rows in combinations(range(len(together)), len(a))])
    gaps = np.abs(first * len(together) - together.sum() * len(a))  # in whole numbers, like the means' differences
    expected = (gaps >= abs(sum(a) * len(b) - sum(b) * len(a))).mean()
    assert permutation_test(a, b).p == pytest.approx(expected)
    assert permutation_test(0.8 + np.array(a) / 1000, 0.8 + np.array(b) / 1000).p == pytest.approx(expected)


def test_permutations_of_many_runs_are_drawn():
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    found = permutation_test(a, b)
    expected = scipy.stats.permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), n_resamples=5000, random_state=np.random.default_rng(5)
    )
    assert found.p == pytest.approx(expected.pvalue, abs=0.03)
    assert permutation_test(a, b) == found
    assert permutation_test(a, a + 100).p == pytest.approx(1 / 20_001)  # never 0


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    table = holm([[0.01, np.nan], [0.4, 0.9]])
    np.testing.assert_allclose(table, [[0.03, np.nan], [0.8, 0.9]])
    assert np.isnan(holm([np.nan, np.nan])).all()
    assert holm([0.7, 0.8]).tolist() == [1, 1]


@given(st.lists(st.floats(0, 1) | st.just(np.nan), min_size=1, max_size=12), st.randoms())
def test_holm_is_monotone(p, random):
    p = np.array(p)
    found, tested = holm(p), ~np.isnan(p)
    assert (np.isnan(found) == ~tested).all()
    assert (found[tested] >= p[tested]).all()
    assert (found[tested] <= np.minimum(1, p[tested] * tested.sum())).all()
    assert (np.diff(found[tested][np.argsort(p[tested])]) >= 0).all()
    order = random.sample(range(len(p)), len(p))
    np.testing.assert_array_equal(holm(p[order]), found[order])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: holm([0.5, 1.5]), r"from 0.5 to 1.5; give p-values in \[0, 1\], or NaN"),
        (lambda: sign_flip_test([1, 2], [1, 2, 3]), "The shapes differ"),
        (lambda: sign_flip_test([1, 2], [1, np.nan]), r"b \[2\] holds 1 values that are NaN"),
        (lambda: permutation_test([[1, 2]], [1, 2]), r"a has shape \[1, 2\]; give \[runs\]"),
        (lambda: welch_test([1, np.nan], [1, 2]), r"a \[2\] holds 1 values that are NaN"),
    ],
)
def test_what_cannot_be_tested_is_refused(call, message):
    with pytest.raises(InvalidScores, match=message):
        call()


def test_results_have_names():
    assert permutation_test([1, 2], [3, 4]) == Significance(difference=-2, p=1 / 3)
