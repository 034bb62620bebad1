"""Holm's correction of a family of tests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.judging.holm import holm


def test_a_worked_example_keeps_its_order():
    # 0.005 * 4, then 0.01 * 3, then 0.03 * 2, and the largest takes over from the one before it.
    assert [test.p for test in holm([0.01, 0.04, 0.03, 0.005])] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_level_is_divided_by_the_tests_still_standing_and_no_further_after_the_first_that_fails():
    assert [test.tests for test in holm([0.01, 0.04, 0.03, 0.005])] == [3, 2, 2, 4]


def test_a_single_test_is_left_as_it_is():
    (only,) = holm([0.03])
    assert (only.p, only.tests) == (0.03, 1)


def test_no_adjusted_p_exceeds_one():
    assert [test.p for test in holm([0.9, 0.8])] == [1.0, 1.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
def test_the_divided_level_tells_the_same_as_the_adjusted_p(ps):
    for p, test in zip(ps, holm(ps), strict=True):
        assert (test.p <= 0.05) == (p * test.tests <= 0.05)
        assert test.p >= p
