"""Intervals and comparisons: against scipy, against counting, and what they refuse."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transfer_lessons.comparison import compare, interval
from transfer_lessons.core import wilson_interval

quick = settings(deadline=None, max_examples=60)
numbers = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=40)


@quick
@given(numbers)
def test_the_interval_of_a_mean_is_scipys(values):
    found = interval(values)
    scale = stats.sem(values)
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), scale) if scale else found[1:3]
    np.testing.assert_allclose(found[1:3], expected, rtol=1e-6, atol=1e-6)


@quick
@given(numbers, st.integers(0, 2**32 - 1))
def test_numbers_are_compared_by_the_paired_t_test(values, seed):
    other = np.array(values) + np.random.default_rng(seed).normal(size=len(values))
    found = compare(values, other)
    expected = stats.ttest_rel(values, other)
    assert math.isclose(found.p_value, expected.pvalue, rel_tol=1e-6, abs_tol=1e-9)
    low, high = expected.confidence_interval()
    np.testing.assert_allclose(found[1:3], (low, high), rtol=1e-5, atol=1e-5)


@quick
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_images_are_compared_by_mcnemars_exact_test(pairs):
    a, b = zip(*pairs, strict=True)
    found = compare(a, b)
    a_only = sum(x and not y for x, y in pairs)
    b_only = sum(y and not x for x, y in pairs)
    expected = stats.binomtest(a_only, a_only + b_only).pvalue if a_only + b_only else 1.0
    assert math.isclose(found.p_value, expected, rel_tol=1e-9)
    assert math.isclose(found.difference, (a_only - b_only) / len(pairs), abs_tol=1e-12)
    assert -1 - 1e-9 <= found.low <= found.difference <= found.high <= 1 + 1e-9
    mirrored = compare(b, a)
    assert math.isclose(mirrored.low, -found.high, abs_tol=1e-9)


def test_a_fraction_of_images_has_wilsons_interval_whatever_holds_the_flags():
    for flags in ([True] * 3 + [False] * 5, torch.arange(8) < 3, np.arange(8) < 3,
                  (i < 3 for i in range(8))):
        assert interval(flags)[1:] == (*wilson_interval(3, 8), 8)


def test_many_numbers_have_the_interval_of_a_normal_distribution():
    values = np.random.default_rng(0).normal(size=20_000)
    expected = stats.t.interval(0.95, 19_999, values.mean(), stats.sem(values))
    np.testing.assert_allclose(interval(values)[1:3], expected, rtol=1e-3)


@pytest.mark.parametrize("same", [[3.0, 3.0, 3.0], [True, False, True]])
def test_what_is_equal_is_a_tie(same):
    found = compare(same, same)
    assert (found.difference, found.p_value, found.verdict) == (0, 1, "a tie")


def test_differences_without_spread_are_certain():
    assert compare([2.0, 3.0], [1.0, 2.0]).verdict == "a is higher"
    assert compare([1.0, 2.0], [2.0, 3.0])[:3] == (-1, -1, -1)


@pytest.mark.parametrize("call, says", [
    (lambda: interval([]), "at least two numbers"),
    (lambda: interval([0.3]), "Train with another seed"),
    (lambda: interval([0.3, math.nan]), r"values\[1\] must be a number"),
    (lambda: interval([True, 0.3]), "1 bools among 2"),
    (lambda: interval("0.3"), "values must be a list"),
    (lambda: compare([1, 2], [1, 2, 3]), "a has 2 entries, b 3"),
    (lambda: compare([1.0, 2.0], [True, False]), "of one kind"),
])
def test_what_cannot_be_compared_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
